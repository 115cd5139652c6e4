#include "bindings/fast_call.h"

#include <algorithm>
#include <limits>

namespace qkern::bindings {
namespace {

// What NumPy's scalar type of T is; kept for ever.
template <class T>
PyObject* scalar_type() {
  static PyObject* const type = py::object(py::dtype::of<T>().attr("type")).release().ptr();
  return type;
}

// An array of no dimension, which is how ONNX's parameters come; else a null object.
py::array single(PyObject* argument) {
  py::array array = exact_array(argument);
  return array && array.ndim() == 0 && is_dense(array) ? array : py::reinterpret_steal<py::array>(py::handle());
}

template <class... T>
bool is_scalar(PyObject* argument) {
  PyObject* const type = reinterpret_cast<PyObject*>(Py_TYPE(argument));
  return ((type == scalar_type<T>()) || ...);
}

}  // namespace

bool sort_arguments(const FastCallState& state, PyObject* const* given, Py_ssize_t count, PyObject* keywords, Arguments& arguments) {
  if (count > state.positional) return false;
  std::copy(given, given + count, arguments.begin());
  const Py_ssize_t named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
  for (Py_ssize_t i = 0; i < named; ++i) {
    const auto* end = state.names.begin() + state.count;
    const auto* found = std::find(state.names.begin(), end, PyTuple_GET_ITEM(keywords, i));
    if (found == end) return false;
    PyObject*& argument = arguments[static_cast<std::size_t>(found - state.names.begin())];
    if (argument != nullptr) return false;
    argument = given[count + i];
  }
  return true;
}

void replace(py::module_& m, const char* name, FastCallState& state, Py_ssize_t positional, std::initializer_list<const char*> parameters,
             PyCFunction entry) {
  for (const char* parameter : parameters) {
    state.names.at(state.count) = PyUnicode_InternFromString(parameter);
    if (state.names.at(state.count++) == nullptr) throw py::error_already_set();
  }
  state.positional = positional;
  py::object bound = m.attr(name);
  state.doc = bound.attr("__doc__").cast<std::string>();
  state.bound = bound.release().ptr();
  state.definition = {name, entry, METH_FASTCALL | METH_KEYWORDS, state.doc.c_str()};
  // The module as self, so that the function pickles by its name.
  const py::object module_name = m.attr("__name__");
  PyObject* function = PyCFunction_NewEx(&state.definition, m.ptr(), module_name.ptr());
  if (function == nullptr) throw py::error_already_set();
  m.attr(name) = py::reinterpret_steal<py::object>(function);
}

std::optional<DType> fast_dtype(const py::array& array) {
  const auto* descr = py::detail::array_descriptor_proxy(py::detail::array_proxy(array.ptr())->descr);
  if (descr->byteorder == '>') return std::nullopt;
  switch (descr->type_num) {
    case py::detail::npy_api::NPY_BYTE_: return DType::Int8;
    case py::detail::npy_api::NPY_UBYTE_: return DType::Uint8;
    case py::detail::npy_api::NPY_INT_: return DType::Int32;
    case py::detail::npy_api::NPY_FLOAT_: return DType::Float32;
    default: return std::nullopt;
  }
}

py::array fast_result(PyObject* out, py::ssize_t rank, const py::ssize_t* shape, DType dtype, std::initializer_list<const py::array*> inputs) {
  if (is_absent(out)) {
    const auto& api = py::detail::npy_api::get();
    PyObject* descr = to_numpy(dtype).release().ptr();  // PyArray_NewFromDescr takes it
    PyObject* made =
        api.PyArray_NewFromDescr_(api.PyArray_Type_, descr, static_cast<int>(rank), const_cast<py::ssize_t*>(shape), nullptr, nullptr, 0, nullptr);
    if (made == nullptr) PyErr_Clear();  // the general way reports it
    return py::reinterpret_steal<py::array>(made);
  }
  py::array given = exact_array(out);
  const bool fits = given && fast_dtype(given) == dtype && given.ndim() == rank && std::equal(shape, shape + rank, given.shape()) &&
                    given.writeable() && is_dense(given) &&
                    std::none_of(inputs.begin(), inputs.end(), [&](const py::array* input) { return overlap(given, *input); });
  return fits ? given : py::reinterpret_steal<py::array>(py::handle());
}

std::optional<float> fast_scale(PyObject* argument) {
  if (argument == nullptr) return std::nullopt;
  double number = 0;
  if (PyFloat_CheckExact(argument) || is_scalar<double>(argument)) number = PyFloat_AS_DOUBLE(argument);  // np.float64 is a float
  else if (is_scalar<float>(argument)) number = PyFloat_AsDouble(argument);
  else if (const py::array array = single(argument); array && fast_dtype(array) == DType::Float32) number = *static_cast<const float*>(array.data());
  else return std::nullopt;
  const auto value = static_cast<float>(number);
  if (!(value > 0) || value > std::numeric_limits<float>::max()) return std::nullopt;
  return value;
}

std::optional<std::int32_t> fast_integer(PyObject* argument, std::int64_t low, std::int64_t high) {
  if (argument == nullptr) return 0;
  int overflow = 0;
  long long value = 0;
  if (const py::array array = single(argument)) {
    switch (fast_dtype(array).value_or(DType::Float32)) {
      case DType::Int8: value = *static_cast<const std::int8_t*>(array.data()); break;
      case DType::Uint8: value = *static_cast<const std::uint8_t*>(array.data()); break;
      case DType::Int32: value = *static_cast<const std::int32_t*>(array.data()); break;
      default: return std::nullopt;
    }
  } else if (PyLong_CheckExact(argument) || is_scalar<std::int8_t, std::uint8_t, std::int32_t, std::int64_t>(argument)) {
    value = PyLong_AsLongLongAndOverflow(argument, &overflow);
  } else {
    return std::nullopt;
  }
  if (overflow != 0 || value < low || value > high) return std::nullopt;
  return static_cast<std::int32_t>(value);
}

std::optional<DType> fast_codes(PyObject* argument) {
  if (is_absent(argument) || argument == scalar_type<std::int8_t>()) return DType::Int8;
  if (argument == scalar_type<std::uint8_t>()) return DType::Uint8;
  return std::nullopt;
}

}  // namespace qkern::bindings
