// How a worker keeps out of the way of the thread that it is to help (docs/decisions/0082-another-processor-than-the-callers.md).
#pragma once

#include <chrono>

#ifdef __linux__
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace qkern::threading {
namespace {  // of pool.cc alone

// The system's number of this thread; 0: not asked for yet. A forked process has its own.
thread_local int own_number = 0;

#ifdef __linux__
inline int current_processor() { return sched_getcpu(); }

inline int number_of_this_thread() {
  if (own_number == 0) own_number = static_cast<int>(syscall(SYS_gettid));
  return own_number;
}

// Others may have all processors, so that the system wakes a worker on its caller's. It moves a thread whose affinity mask lacks the
// processor that it is on; the mask stays like this, so that the worker isn't woken there again.
class StepAside {
 public:
  // Whether this worker is on another processor than its caller, or has gone to one.
  bool from(int processor, int caller) {
    const int here = current_processor();
    if (here < 0 || here != processor) return true;
    const auto time = std::chrono::steady_clock::now();
    if (time - last_ < rest || here >= CPU_SETSIZE) return false;
    last_ = time;
    cpu_set_t mask;
    if (sched_getaffinity(0, sizeof mask, &mask) != 0) return false;
    // As this class left it: then it is for the caller's mask to say what else is allowed.
    if (CPU_EQUAL(&mask, &narrowed_) && sched_getaffinity(caller, sizeof mask, &mask) != 0) return false;
    CPU_CLR(here, &mask);
    if (CPU_COUNT(&mask) == 0 || sched_setaffinity(0, sizeof mask, &mask) != 0) return false;
    narrowed_ = mask;
    return true;
  }

 private:
  // Whoever has just gone, and is in the way again, is so because callers have all processors.
  static constexpr std::chrono::milliseconds rest{1};
  cpu_set_t narrowed_{};
  std::chrono::steady_clock::time_point last_{};
};
#else
inline int current_processor() { return -1; }
inline int number_of_this_thread() { return own_number; }

struct StepAside {
  bool from(int, int) { return true; }
};
#endif

}  // namespace
}  // namespace qkern::threading
