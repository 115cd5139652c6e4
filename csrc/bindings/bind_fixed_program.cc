#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>

#include "bindings/program.h"
#include "threading/thread_count.h"

namespace qkern::bindings {
namespace {

// An array that a run is fed, or makes: number `external` of the program.
struct FixedArray {
  py::dtype dtype;
  std::vector<py::ssize_t> shape;
  Index external;

  bool is_form_of(const py::array& array) const {
    const auto& api = py::detail::npy_api::get();
    PyObject* const given = py::detail::array_proxy(array.ptr())->descr;
    return (given == dtype.ptr() || api.PyArray_EquivTypes_(given, dtype.ptr())) && array.ndim() == static_cast<py::ssize_t>(shape.size()) &&
           std::equal(shape.begin(), shape.end(), array.shape()) && is_dense(array);
  }

  // As py::array makes it, which would compute strides in memory from the heap first.
  py::array make() const {
    const auto& api = py::detail::npy_api::get();
    PyObject* made = api.PyArray_NewFromDescr_(api.PyArray_Type_, dtype.inc_ref().ptr(), static_cast<int>(shape.size()), shape.data(), nullptr,
                                               nullptr, 0, nullptr);
    if (made == nullptr) throw py::error_already_set();
    return py::reinterpret_steal<py::array>(made);
  }
};

// What a run in progress needs: an arena, and its arrays, which nobody else may free meanwhile.
struct Frame {
  py::array_t<unsigned char> arena;
  std::vector<void*> addresses;
  std::vector<py::array> arrays;
};

class FixedProgram : public OnlyConstructed {
 public:
  using Input = std::tuple<py::str, py::dtype, std::vector<py::ssize_t>, Index>;
  using Result = std::tuple<py::dtype, std::vector<py::ssize_t>, Index>;

  FixedProgram(std::shared_ptr<Program> program, Index arena_bytes, const std::vector<Input>& inputs, const std::vector<Result>& results)
      : program_(std::move(program)), arena_bytes_(arena_bytes) {
    if (arena_bytes < 0) value_error("arena_bytes is negative");
    std::vector<bool> there(static_cast<std::size_t>(program_->steps.externals()));
    const auto add = [&](const py::dtype& dtype, const std::vector<py::ssize_t>& shape, Index external) {
      if (external < 0 || external >= program_->steps.externals() || there[static_cast<std::size_t>(external)]) {
        value_error("array " + std::to_string(external) + " is none of the program's, or is there twice");
      }
      there[static_cast<std::size_t>(external)] = true;
      return FixedArray{dtype, shape, external};
    };
    for (const auto& [name, dtype, shape, external] : inputs) inputs_.emplace_back(name, add(dtype, shape, external));
    for (const auto& [dtype, shape, external] : results) results_.push_back(add(dtype, shape, external));
    if (std::find(there.begin(), there.end(), false) != there.end()) value_error("the program has arrays that are neither inputs nor results");
  }

  py::object run(const py::handle& feeds, int threads, const std::optional<py::array_t<std::int64_t>>& times) {
    if (!PyDict_CheckExact(feeds.ptr()) || PyDict_GET_SIZE(feeds.ptr()) != static_cast<Py_ssize_t>(inputs_.size())) return py::none();
    std::int64_t* const clock = times_of(*program_, times);
    Lent frame(*this);
    for (const auto& [name, form] : inputs_) {
      const py::handle given = PyDict_GetItemWithError(feeds.ptr(), name.ptr());
      if (!given && PyErr_Occurred() != nullptr) throw py::error_already_set();
      if (!given || !py::isinstance<py::array>(given)) return py::none();
      auto array = py::reinterpret_borrow<py::array>(given);
      if (!form.is_form_of(array)) return py::none();
      frame->addresses[static_cast<std::size_t>(form.external)] = py::detail::array_proxy(array.ptr())->data;
      frame->arrays.push_back(std::move(array));
    }
    py::list results(results_.size());
    for (std::size_t i = 0; i < results_.size(); ++i) {
      py::array made = results_[i].make();
      frame->addresses[static_cast<std::size_t>(results_[i].external)] = made.mutable_data();
      PyList_SET_ITEM(results.ptr(), static_cast<Py_ssize_t>(i), made.release().ptr());
    }
    const auto start = reinterpret_cast<std::uintptr_t>(frame->arena.mutable_data());
    auto* arena = reinterpret_cast<unsigned char*>(round_up(static_cast<Index>(start), alignment));
    {
      const WithoutGil release;
      const Limited limited(threads);
      program_->steps.run(arena, frame->addresses.data(), clock);
    }
    return results;
  }

 private:
  static constexpr Index alignment = 64;

  struct Limited {
    explicit Limited(int threads) : is_set(threads > 0), before(is_set ? threading::limit_num_threads(threads) : 0) {}
    ~Limited() {
      if (is_set) threading::limit_num_threads(before);
    }
    bool is_set;
    int before;
  };

  // A frame for one run, which the next one gets.
  class Lent {
   public:
    explicit Lent(FixedProgram& of) : of_(of) {
      {
        const std::lock_guard lock(of.mutex_);
        if (!of.idle_.empty()) frame_ = std::move(of.idle_.back()), of.idle_.pop_back();
      }
      if (frame_ != nullptr) return;
      frame_ = std::make_unique<Frame>(Frame{
          py::array_t<unsigned char>(of.arena_bytes_ + alignment), std::vector<void*>(static_cast<std::size_t>(of.program_->steps.externals())), {}});
      frame_->arrays.reserve(of.inputs_.size());
    }
    Lent(const Lent&) = delete;
    Lent& operator=(const Lent&) = delete;
    ~Lent() {
      frame_->arrays.clear();
      const std::lock_guard lock(of_.mutex_);
      of_.idle_.push_back(std::move(frame_));
    }
    Frame* operator->() const { return frame_.get(); }

   private:
    FixedProgram& of_;
    std::unique_ptr<Frame> frame_;
  };

  std::shared_ptr<Program> program_;
  Index arena_bytes_;
  std::vector<std::pair<py::str, FixedArray>> inputs_;
  std::vector<FixedArray> results_;
  std::mutex mutex_;  // of idle_
  std::vector<std::unique_ptr<Frame>> idle_;
};

}  // namespace

void bind_fixed_program(py::module_& m) {
  BoundClass<FixedProgram>(m, "FixedProgram", py::is_final(),
                           R"(A program from feeds to outputs, for feeds of fixed shapes and types. May be run by several threads.

program: whose arrays of a run are the inputs and the results, each once.
arena_bytes: that the program needs.
inputs: (name, dtype, shape, number of the array) of each.
results: (dtype, shape, number of the array), in the order of the outputs.)")
      .def(py::init([](const std::shared_ptr<Program>& program, Index arena_bytes, const std::vector<FixedProgram::Input>& inputs,
                       const std::vector<FixedProgram::Result>& results) {
             return std::make_shared<FixedProgram>(program, arena_bytes, inputs, results);
           }),
           py::arg("program"), py::arg("arena_bytes"), py::arg("inputs"), py::arg("results"))
      .def("run", &FixedProgram::run, py::arg("feeds"), py::arg("threads") = 0, py::arg("times") = py::none(),
           R"(The outputs, arrays of their own. None, and nothing done, where `feeds` is not a dict of just the inputs, dense arrays of
their shapes and types.

Args:
    threads: that kernels may use; 0: as many as they might without.
    times: as for Program.run().)");
}

}  // namespace qkern::bindings
