// A short way in for small calls of the common form.
//
// pybind11's argument loading and the general checks take about a microsecond, more than a small kernel. `add_fast_call` puts a
// function of the C API before one that pybind11 has bound. It sorts the arguments by parameter and tries `Fast`, which either
// computes, or returns nullptr without having changed anything; then the bound function gets the same call. So a short way handles
// what it recognises at a glance (exact arrays, dense, plain numbers) and knows nothing of conversions or errors. It keeps the GIL:
// releasing it costs as much as small work, and anything larger goes the general way.
#pragma once

#include <array>
#include <cstdint>
#include <exception>
#include <initializer_list>
#include <optional>
#include <string>

#include "bindings/ndarray.h"

namespace qkern::bindings {

// Borrowed arguments in the order of the parameters; nullptr where one was left out.
using Arguments = std::array<PyObject*, 8>;
using FastCall = PyObject* (*)(const Arguments& arguments);

// Work a short way takes on: multiply-adds of a product (1 us), elements of a loop (2 us).
inline constexpr Index most_products = Index{1} << 16, most_elements = Index{1} << 14;

// One per function, for ever: Python's function object refers to it.
struct FastCallState {
  std::array<PyObject*, 8> names{};  // interned
  std::size_t count = 0;
  Py_ssize_t positional = 0;
  PyObject* bound = nullptr;  // by pybind11
  std::string doc;
  PyMethodDef definition{};
};

// False where the call is not one that the parameters allow, or names them by strings that are not interned.
bool sort_arguments(const FastCallState& state, PyObject* const* given, Py_ssize_t count, PyObject* keywords, Arguments& arguments);
void replace(py::module_& m, const char* name, FastCallState& state, Py_ssize_t positional, std::initializer_list<const char*> parameters,
             PyCFunction entry);

template <FastCall Fast>
FastCallState& state_of() {
  static FastCallState& state = *new FastCallState;  // outlives the interpreter
  return state;
}

template <FastCall Fast>
PyObject* enter(PyObject*, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
  const FastCallState& state = state_of<Fast>();
  Arguments arguments{};
  if (sort_arguments(state, given, count, keywords, arguments)) {
    try {
      if (PyObject* result = Fast(arguments)) return result;
    } catch (const std::exception&) {
      // Out of memory, say: the general way meets it again and reports it.
    }
  }
  return PyObject_Vectorcall(state.bound, given, static_cast<std::size_t>(count), keywords);
}

// `parameters` in the order of the signature, of which the first `positional` may be given by position. `name` has been bound
// by one m.def.
template <FastCall Fast>
void add_fast_call(py::module_& m, const char* name, Py_ssize_t positional, std::initializer_list<const char*> parameters) {
  const auto entry = reinterpret_cast<void (*)()>(&enter<Fast>);
  replace(m, name, state_of<Fast>(), positional, parameters, reinterpret_cast<PyCFunction>(entry));
}

// What the short ways recognise. nullopt: not at a glance.

inline bool is_absent(PyObject* argument) { return argument == nullptr || argument == Py_None; }

// An exact ndarray, as py::array; else nothing (a null object).
inline py::array exact_array(PyObject* argument) {
  if (argument == nullptr || Py_TYPE(argument) != py::detail::npy_api::get().PyArray_Type_) return py::reinterpret_steal<py::array>(py::handle());
  return py::reinterpret_borrow<py::array>(argument);
}
std::optional<DType> fast_dtype(const py::array& array);
// A new, aligned, C-contiguous array, or `out` where it is one of that shape and type, writeable, and shares no memory with the
// inputs; else a null object.
py::array fast_result(PyObject* out, py::ssize_t rank, const py::ssize_t* shape, DType dtype, std::initializer_list<const py::array*> inputs);

// A Python float, np.float64 or np.float32 (or a float32 array of no dimension) that makes a valid scale.
std::optional<float> fast_scale(PyObject* argument);
// A Python int or one of NumPy's int8, uint8, int32 and int64 (or an array of no dimension of the first three), in [low, high]; 0 where it was left
// out.
std::optional<std::int32_t> fast_integer(PyObject* argument, std::int64_t low, std::int64_t high);
inline std::optional<std::int32_t> fast_zero_point(PyObject* argument, DType dtype) {
  if (dtype == DType::Int32) return fast_integer(argument, INT32_MIN, INT32_MAX);
  return fast_integer(argument, lowest(dtype), highest(dtype));
}
// np.int8 (also where left out) or np.uint8.
std::optional<DType> fast_codes(PyObject* argument);

}  // namespace qkern::bindings
