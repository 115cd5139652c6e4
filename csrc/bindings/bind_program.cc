#include "bindings/program.h"

#include <pybind11/stl.h>

#include <array>

#include "bindings/native_call.h"
#include "program/plan.h"

namespace qkern::bindings {

program::Finish native_finish(const std::optional<NativeAddition>& add, const std::optional<py::array>& table, const ops::LayerOutput& output) {
  program::Finish finish;
  if (output.dtype != DType::Int8 && output.dtype != DType::Uint8) value_error("a layer whose result is no codes has nothing to add or to look up");
  if (add) {
    const auto& [dtype, own_scale, own_zero, scale, zero, y_scale, y_zero, clamp] = *add;
    finish.other = parse_dtype(dtype, "add", codes);
    const ops::Codes bounds = parse_clamp(clamp, output.dtype);
    finish.add = {positive_float(own_scale, "own_scale"),
                  positive_float(scale, "scale"),
                  positive_float(y_scale, "y_scale"),
                  zero_point(own_zero, "own_zero_point", output.dtype),
                  zero_point(zero, "zero_point", finish.other),
                  zero_point(y_zero, "y_zero_point", output.dtype),
                  bounds.low,
                  bounds.high};
  }
  if (table) {
    dtype_of(*table, "table", codes);
    if (table->ndim() != 1 || table->size() != 256) value_error("table has shape " + to_string(shape_of(*table)) + "; expected (256,)");
    const py::array entries = contiguous(*table);
    finish.table.emplace();
    std::copy_n(static_cast<const std::uint8_t*>(entries.data()), finish.table->size(), finish.table->data());
  }
  return finish;
}

std::int64_t* times_of(const Program& program, const std::optional<py::array_t<std::int64_t>>& times) {
  if (!times) return nullptr;
  if (times->size() <= static_cast<py::ssize_t>(program.steps.size())) value_error("times has to have one number more than there are steps");
  return const_cast<py::array_t<std::int64_t>&>(*times).mutable_data();
}

namespace {

program::Place place_of(const py::handle& given, std::vector<py::array>& constants) {
  program::Place place;
  if (py::isinstance<py::array>(given)) {
    constants.push_back(py::reinterpret_borrow<py::array>(given));
    place.constant = constants.back().data();
  } else if (py::isinstance<py::tuple>(given)) {
    std::tie(place.external, place.offset) = given.cast<std::pair<Index, Index>>();
    if (place.external < 0) value_error("steps: an array of the run has a negative number");
  } else {
    place.offset = given.cast<Index>();
  }
  if (place.offset < 0) value_error("steps: a place has a negative offset");
  return place;
}

std::shared_ptr<Program> make_program(const py::list& steps) {
  std::vector<program::Step> made;
  std::vector<py::array> constants;
  made.reserve(steps.size());
  for (const py::handle& each : steps) {
    const auto [call, operands, result] = each.cast<std::tuple<NativeCallPtr, py::list, py::object>>();
    program::Step step{call, {}, place_of(result, constants)};
    if (step.result.constant != nullptr) value_error("steps: a result is a constant");
    for (const py::handle& operand : operands) step.operands.push_back(place_of(operand, constants));
    made.push_back(std::move(step));
  }
  auto bound = std::make_shared<Program>(Program{{}, program::Program(std::move(made)), std::move(constants)});
  return bound;
}

// The addresses of the arrays of a run.
class Addresses {
 public:
  Addresses(const Program& program, const py::list& arrays) : count_(arrays.size()), many_(count_ > few_.size() ? count_ : 0) {
    if (static_cast<Index>(count_) < program.steps.externals()) {
      value_error("arrays: the program takes " + std::to_string(program.steps.externals()));
    }
    for (std::size_t i = 0; i < count_; ++i) {
      const py::handle each = PyList_GET_ITEM(arrays.ptr(), static_cast<Py_ssize_t>(i));
      if (!py::isinstance<py::array>(each)) type_error("arrays: number " + std::to_string(i) + " is not an array");
      data()[i] = py::detail::array_proxy(each.ptr())->data;
    }
  }
  void** data() { return many_.empty() ? few_.data() : many_.data(); }
  std::size_t size() const { return count_; }

 private:
  std::size_t count_;
  std::array<void*, 32> few_;
  std::vector<void*> many_;
};

void run(const Program& program, const py::array& arena, const py::list& arrays, const std::optional<py::array_t<std::int64_t>>& times) {
  Addresses addresses(program, arrays);
  std::int64_t* const clock = times_of(program, times);
  auto* memory = reinterpret_cast<unsigned char*>(py::detail::array_proxy(arena.ptr())->data);
  const WithoutGil release;
  program.steps.run(memory, addresses.data(), clock);
}

void run_samples(const Program& program, Index count, Index arena_bytes, const py::list& arrays, const Shape& strides) {
  Addresses addresses(program, arrays);
  if (strides.size() != addresses.size()) value_error("strides has to have one number for each array");
  const WithoutGil release;
  program.steps.run_samples(count, arena_bytes, addresses.data(), strides.data());
}

py::tuple place(const py::array_t<Index>& sizes, const py::array_t<Index>& firsts, const py::array_t<Index>& lasts, Index alignment) {
  if (sizes.size() != firsts.size() || sizes.size() != lasts.size()) value_error("sizes, firsts and lasts must have the same length");
  if (alignment < 1) value_error("alignment must be at least 1");
  std::vector<program::Life> lives(static_cast<std::size_t>(sizes.size()));
  for (std::size_t i = 0; i < lives.size(); ++i) lives[i] = {sizes.data()[i], firsts.data()[i], lasts.data()[i]};
  const program::Arena arena = program::place(lives, alignment);
  py::array_t<Index> offsets(static_cast<py::ssize_t>(lives.size()));
  std::copy(arena.offsets.begin(), arena.offsets.end(), offsets.mutable_data());
  return py::make_tuple(offsets, arena.size);
}

}  // namespace

void bind_program(py::module_& m) {
  NativeCall calls(m, "NativeCall", py::is_final(),
                   R"(One computation of a program, made for operands of certain shapes and types.

Each static method makes one; it checks what the function or layer of its name checks, and raises the same errors.)");
  add_native_conv(calls);
  add_native_linear(calls);
  add_native_add(calls);
  add_native_lookup(calls);
  add_native_quantize(calls);
  add_native_pool(calls);
  add_native_move(calls);
  add_native_arithmetic(calls);
  BoundClass<Program>(m, "Program", py::is_final(),
                      R"(Calls one after the other, run without Python.

steps: tuples (call, operands, result). An operand is a place: a byte of the arena (an int), an array of the run (its number, and a
byte of it), or a constant (a contiguous array). So is the result, but no constant. What places say is not checked: a wrong one
reads or writes any memory.)")
      .def(py::init(&make_program), py::arg("steps"))
      .def("run", &run, py::arg("arena"), py::arg("arrays"), py::arg("times") = py::none(),
           R"(Runs the steps.

Args:
    arena: uint8, of the size that the places need, aligned to 64 bytes.
    arrays: contiguous arrays of the run; those that are results are written.
    times: int64, at least steps + 1 of them, C-contiguous: nanoseconds of a clock before the first step and after each.)")
      .def("run_samples", &run_samples, py::arg("count"), py::arg("arena_bytes"), py::arg("arrays"), py::arg("strides"),
           R"(Runs the steps for every sample; threads share the samples.

Args:
    count: of the samples.
    arena_bytes: of the arena that each thread has.
    arrays: of the run, as for run().
    strides: by how many bytes each array moves on from sample to sample.)")
      .def("__len__", [](const Program& program) { return program.steps.size(); });
  m.def("place", &place, py::arg("sizes"), py::arg("firsts"), py::arg("lasts"), py::arg("alignment"),
        R"(Offsets for arrays in one block of memory, and its size: arrays share bytes where their lives don't touch.

Greedy by size (Pisarchyk and Lee 2020, "Efficient Memory Management for Deep Neural Net Inference").

Args:
    sizes: bytes of each array, int64.
    firsts, lasts: the steps between which each is needed, both included.
    alignment: what offsets are multiples of.)");
}

}  // namespace qkern::bindings
