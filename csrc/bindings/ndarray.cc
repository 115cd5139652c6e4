#include "bindings/ndarray.h"

#include <cmath>
#include <utility>

namespace qkern::bindings {
namespace {

std::string names_of(std::initializer_list<DType> dtypes) {
  std::string names;
  for (const DType dtype : dtypes) names += (names.empty() ? "" : " or ") + std::string(name_of(dtype));
  return names;
}

bool is_native(const py::dtype& dtype) { return dtype.byteorder() != '>'; }

// A type that the package ml_dtypes adds to NumPy.
py::dtype ml_dtype(const char* name) {
  try {
    return py::dtype::from_args(py::module_::import("ml_dtypes").attr(name));
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_ImportError)) throw;
    throw py::import_error(std::string(name) + " needs ml_dtypes: pip install \"qkern[onnx]\"");
  }
}

std::optional<DType> match(const py::dtype& dtype) {
  switch (dtype.num()) {
    case py::detail::npy_api::NPY_BYTE_: return DType::Int8;
    case py::detail::npy_api::NPY_UBYTE_: return DType::Uint8;
    case py::detail::npy_api::NPY_SHORT_: return is_native(dtype) ? std::optional(DType::Int16) : std::nullopt;
    case py::detail::npy_api::NPY_USHORT_: return is_native(dtype) ? std::optional(DType::Uint16) : std::nullopt;
    case py::detail::npy_api::NPY_FLOAT_: return is_native(dtype) ? std::optional(DType::Float32) : std::nullopt;
    default:
      // int32 is "int" or "long", depending on the platform.
      if (dtype.kind() == 'i' && dtype.itemsize() == 4 && is_native(dtype)) return DType::Int32;
      if (is_ml_dtype(dtype, "int4")) return DType::Int4;
      if (is_ml_dtype(dtype, "uint4")) return DType::Uint4;
      return std::nullopt;
  }
}

DType one_of(const py::dtype& dtype, const char* argument, std::initializer_list<DType> allowed) {
  const std::optional<DType> found = match(dtype);
  for (const DType one : allowed) {
    if (found == one) return one;
  }
  type_error(std::string(argument) + " is " + std::string(py::str(static_cast<py::handle>(dtype))) + "; expected " + names_of(allowed));
}

py::array one_or_per_channel(const py::handle& value, const char* argument, Index axis_size) {
  const py::array array = real_numbers(value, argument);
  const bool fits = array.size() == 1 ? array.ndim() <= 1 : array.ndim() == 1 && array.size() == axis_size;
  if (!fits) {
    value_error(std::string(argument) + " has shape " + to_string(shape_of(array)) + "; expected a scalar" +
                (axis_size >= 0 ? " or (" + std::to_string(axis_size) + ",)" : ""));
  }
  return array;
}

template <class Wide>
std::vector<std::int32_t> integers_within(const py::array& array, const char* argument, std::int64_t low, std::int64_t high) {
  const auto wide = converted<Wide>(array);
  std::vector<std::int32_t> result;
  result.reserve(static_cast<std::size_t>(wide.size()));
  for (py::ssize_t i = 0; i < wide.size(); ++i) {
    const Wide one = wide.data()[i];
    if (std::cmp_less(one, low) || std::cmp_greater(one, high)) {
      value_error(std::string(argument) + " " + std::to_string(one) + " is out of range [" + std::to_string(low) + ", " + std::to_string(high) + "]");
    }
    result.push_back(static_cast<std::int32_t>(one));
  }
  return result;
}

}  // namespace

void value_error(const std::string& message) { throw py::value_error(message); }
void type_error(const std::string& message) { throw py::type_error(message); }

Shape shape_of(const py::array& array) { return Shape(array.shape(), array.shape() + array.ndim()); }

std::string to_string(const Shape& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

Index product(const Shape& shape, std::size_t begin, std::size_t end) {
  Index count = 1;
  for (std::size_t i = begin; i < end; ++i) count *= shape[i];
  return count;
}

DType dtype_of(const py::array& array, const char* argument, std::initializer_list<DType> allowed) {
  return one_of(array.dtype(), argument, allowed);
}

bool is_ml_dtype(const py::dtype& dtype, const char* name) {
  constexpr int first_of_users = 256;
  return dtype.num() >= first_of_users && py::str(static_cast<py::handle>(dtype)).cast<std::string>() == name;
}

bool is_float32(const py::array& array) { return match(array.dtype()) == DType::Float32; }

bool overlap(const py::array& a, const py::array& b) {
  const auto extent = [](const py::array& array) {
    const auto* low = static_cast<const unsigned char*>(array.data());
    const auto* high = low + array.itemsize();
    for (py::ssize_t i = 0; i < array.ndim(); ++i) {
      const auto span = (array.shape(i) - 1) * array.strides(i);
      (span < 0 ? low : high) += span;
    }
    return std::pair{low, high};
  };
  if (a.size() == 0 || b.size() == 0) return false;
  const auto [a_low, a_high] = extent(a);
  const auto [b_low, b_high] = extent(b);
  return a_low < b_high && b_low < a_high;
}

DType parse_dtype(const py::object& dtype, const char* argument, std::initializer_list<DType> allowed) {
  if (py::isinstance<py::str>(dtype)) {  // names that NumPy knows only once ml_dtypes has been imported
    for (const DType narrow : {DType::Int4, DType::Uint4}) {
      if (dtype.cast<std::string>() == name_of(narrow)) return one_of(to_numpy(narrow), argument, allowed);
    }
  }
  return one_of(py::dtype::from_args(dtype), argument, allowed);
}

py::dtype to_numpy(DType dtype) {
  switch (dtype) {
    case DType::Int8: return py::dtype::of<std::int8_t>();
    case DType::Uint8: return py::dtype::of<std::uint8_t>();
    case DType::Int32: return py::dtype::of<std::int32_t>();
    case DType::Int16: return py::dtype::of<std::int16_t>();
    case DType::Uint16: return py::dtype::of<std::uint16_t>();
    case DType::Int4:
    case DType::Uint4: return ml_dtype(name_of(dtype));
    default: return py::dtype::of<float>();
  }
}

py::array contiguous(const py::array& array) {
  if (is_dense(array)) return array;
  const auto& api = py::detail::npy_api::get();
  const int flags = int{py::detail::npy_api::NPY_ARRAY_ENSUREARRAY_} | dense;
  // Not array::ensure: it returns nothing where the copy finds no memory.
  PyObject* copy = api.PyArray_FromAny_(array.ptr(), nullptr, 0, 0, flags, nullptr);
  if (copy == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::array>(copy);
}

py::array array_or_scalar(const py::handle& value, const char* argument) {
  if (py::isinstance<py::array>(value)) return py::reinterpret_borrow<py::array>(value);
  if (!py::isinstance(value, py::module_::import("numpy").attr("generic"))) type_error(std::string(argument) + " must be an array");
  return py::array::ensure(value);
}

py::array real_numbers(const py::handle& value, const char* argument) {
  py::array array = py::array::ensure(value);
  if (!array) {
    PyErr_Clear();
    type_error(std::string(argument) + " must be a number or an array of numbers");
  }
  const char kind = array.dtype().kind();
  if (kind != 'f' && kind != 'i' && kind != 'u') type_error(std::string(argument) + " must be real numbers");
  return array;
}

std::vector<float> positive_floats(const py::handle& value, const char* argument, Index axis_size) {
  // A Python float is what nearly every call has; making an array of it costs more than a small kernel.
  if (PyFloat_CheckExact(value.ptr())) return {positive_float(PyFloat_AS_DOUBLE(value.ptr()), argument)};
  const py::array array = one_or_per_channel(value, argument, axis_size);
  const auto floats = converted<float>(array);
  std::vector<float> result(floats.data(), floats.data() + floats.size());
  for (const float one : result) {
    if (!(one > 0) || !std::isfinite(one)) value_error(std::string(argument) + " must be finite and greater than 0");
  }
  return result;
}

float positive_float(double value, const char* argument) {
  const auto result = static_cast<float>(value);
  if (!(result > 0) || !std::isfinite(result)) value_error(std::string(argument) + " must be finite and greater than 0");
  return result;
}

std::vector<std::int32_t> integers(const py::handle& value, const char* argument, Index axis_size, std::int64_t low, std::int64_t high) {
  if (PyLong_CheckExact(value.ptr())) {  // as above
    int overflow = 0;
    const std::int64_t one = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
    if (overflow == 0 && one >= low && one <= high) return {static_cast<std::int32_t>(one)};
  }
  const py::array array = one_or_per_channel(value, argument, axis_size);
  const char kind = array.dtype().kind();
  // Each kind in its own widest type: uint64 does not fit into int64.
  if (kind == 'i') return integers_within<std::int64_t>(array, argument, low, high);
  if (kind == 'u') return integers_within<std::uint64_t>(array, argument, low, high);
  type_error(std::string(argument) + " must be integers");
}

Index integer(const py::handle& value, const char* argument, Index low) {
  const auto number = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
  if (!number) {
    PyErr_Clear();
    type_error(std::string(argument) + " must be an int or one int per spatial axis");
  }
  int overflow = 0;
  const Index result = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
  if (overflow != 0) value_error(std::string(argument) + " " + std::string(py::str(number)) + " is beyond 64 bits");
  if (result < low) value_error(std::string(argument) + " must be at least " + std::to_string(low));
  return result;
}

std::vector<std::int32_t> zero_points(const py::handle& value, const char* argument, Index axis_size, DType dtype) {
  if (dtype == DType::Int32) return integers(value, argument, axis_size, INT32_MIN, INT32_MAX);
  return integers(value, argument, axis_size, lowest(dtype), highest(dtype));
}

std::int32_t zero_point(std::int64_t value, const char* argument, DType dtype) {
  if (value < lowest(dtype) || value > highest(dtype)) {
    value_error(std::string(argument) + " " + std::to_string(value) + " is out of the range of " + name_of(dtype));
  }
  return static_cast<std::int32_t>(value);
}

ops::Codes parse_clamp(const std::optional<std::pair<std::int64_t, std::int64_t>>& clamp, DType dtype) {
  if (!clamp) return {lowest(dtype), highest(dtype)};
  const auto [low, high] = *clamp;
  if (low > high) value_error("clamp: low is above high");
  if (low < lowest(dtype) || high > highest(dtype)) value_error(std::string("clamp is out of the range of ") + name_of(dtype));
  return {static_cast<std::int32_t>(low), static_cast<std::int32_t>(high)};
}

Index normalize_axis(Index axis, std::size_t rank, const char* argument) {
  const auto n = static_cast<Index>(rank);
  if (axis < -n || axis >= n) value_error(std::string(argument) + " " + std::to_string(axis) + " is out of range for rank " + std::to_string(n));
  return axis < 0 ? axis + n : axis;
}

ops::AxisView axis_view(const Shape& shape, std::optional<Index> axis) {
  if (!axis) return {1, 1, product(shape)};
  const auto at = static_cast<std::size_t>(*axis);
  return {product(shape, 0, at), shape[at], product(shape, at + 1, shape.size())};
}

Output::Output(const py::object& out, const Shape& shape, DType dtype, std::initializer_list<const py::array*> inputs) : out_(out) {
  if (out.is_none()) {
    target_ = py::array(to_numpy(dtype), shape);
    out_ = target_;
    return;
  }
  if (!py::isinstance<py::array>(out)) type_error("out must be an array");
  const auto given = py::reinterpret_borrow<py::array>(out);
  if (match(given.dtype()) != dtype) {
    type_error("out is " + std::string(py::str(static_cast<py::handle>(given.dtype()))) + "; expected " + name_of(dtype));
  }
  if (shape_of(given) != shape) value_error("out has shape " + to_string(shape_of(given)) + "; expected " + to_string(shape));
  if (!given.writeable()) value_error("out is read-only");
  copies_ = !is_dense(given);
  for (const py::array* input : inputs) copies_ = copies_ || overlap(given, *input);
  target_ = copies_ ? py::array(to_numpy(dtype), shape) : given;
}

py::object Output::finish() {
  if (copies_) out_[py::ellipsis()] = target_;
  return out_;
}

}  // namespace qkern::bindings
