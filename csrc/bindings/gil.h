// Python's lock, released while a kernel runs.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <thread>

namespace qkern::bindings {

// As pybind11's gil_scoped_release, but for what happens at exit: before 3.14 Python ends a daemon thread that wants the lock back when
// the interpreter is gone by unwinding its stack, out of a destructor too, which ends the process with an abort. Here it sleeps, as 3.14
// has it, until the process ends.
class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;
  ~WithoutGil() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {  // it throws nothing: this is the unwinding
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
  }

 private:
  PyThreadState* state_;
};

}  // namespace qkern::bindings
