// NumPy arrays in, NumPy arrays out: checks that name the argument, contiguous views, `out=`.
//
// Errors: TypeError for a wrong dtype, ValueError for everything else that is wrong with an argument.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <new>
#include <optional>
#include <string>
#include <vector>

#include "bindings/gil.h"
#include "ops/requantize.h"

namespace qkern::bindings {

namespace py = pybind11;

using Shape = std::vector<Index>;

[[noreturn]] void value_error(const std::string& message);
[[noreturn]] void type_error(const std::string& message);

Shape shape_of(const py::array& array);
std::string to_string(const Shape& shape);
Index product(const Shape& shape, std::size_t begin, std::size_t end);
inline Index product(const Shape& shape) { return product(shape, 0, shape.size()); }

// The element type; TypeError naming `argument` and what would do where it is not one of `allowed`.
DType dtype_of(const py::array& array, const char* argument, std::initializer_list<DType> allowed);
// One of the types that ml_dtypes adds to NumPy: bfloat16, int4, uint4.
bool is_ml_dtype(const py::dtype& dtype, const char* name);
bool is_float32(const py::array& array);  // in native byte order
// False only where the arrays share no byte.
bool overlap(const py::array& a, const py::array& b);
inline constexpr std::initializer_list<DType> codes{DType::Int8, DType::Uint8};

// A dtype given as an argument.
DType parse_dtype(const py::object& dtype, const char* argument, std::initializer_list<DType> allowed);
py::dtype to_numpy(DType dtype);

// What the kernels read and write: C-contiguous, every element aligned to its type.
inline constexpr int dense = int{py::array::c_style} | int{py::detail::npy_api::NPY_ARRAY_ALIGNED_};
inline bool is_dense(const py::array& array) { return (array.flags() & dense) == dense; }

// `array` itself where it is dense, else such a copy. The byte order has been checked with the dtype.
py::array contiguous(const py::array& array);

// The numbers of `array` as T, dense.
template <class T>
auto converted(const py::array& array) {
  auto result = py::array_t<T, dense | int{py::array::forcecast}>::ensure(array);
  if (!result) throw std::bad_alloc();  // ensure() has cleared NumPy's error
  return result;
}

// An array as it is, or the one number of a NumPy scalar; TypeError for anything else.
py::array array_or_scalar(const py::handle& value, const char* argument);
// A number or an array of them: floats or integers; TypeError for anything else, complex numbers, text and objects included.
py::array real_numbers(const py::handle& value, const char* argument);
// Floats (scales, multipliers): one, or one per channel. All finite and > 0. `axis_size` < 0: exactly one.
std::vector<float> positive_floats(const py::handle& value, const char* argument, Index axis_size);
float positive_float(double value, const char* argument);
// Integers in [low, high]: one, or one per channel.
std::vector<std::int32_t> integers(const py::handle& value, const char* argument, Index axis_size, std::int64_t low, std::int64_t high);
// One integer of Python or NumPy, at least `low`.
Index integer(const py::handle& value, const char* argument, Index low);
std::vector<std::int32_t> zero_points(const py::handle& value, const char* argument, Index axis_size, DType dtype);
std::int32_t zero_point(std::int64_t value, const char* argument, DType dtype);
ops::Codes parse_clamp(const std::optional<std::pair<std::int64_t, std::int64_t>>& clamp, DType dtype);

// The axis as a non-negative number; ValueError where it is out of range.
Index normalize_axis(Index axis, std::size_t rank, const char* argument);
ops::AxisView axis_view(const Shape& shape, std::optional<Index> axis);

// Where a result goes: a new array, or `out`, checked for shape and dtype. Where `out` is not dense or shares memory with an
// input the kernel writes a temporary, copied at the end.
class Output {
 public:
  Output(const py::object& out, const Shape& shape, DType dtype, std::initializer_list<const py::array*> inputs);
  void* data() { return target_.mutable_data(); }
  py::object finish();

 private:
  py::object out_;
  py::array target_;
  bool copies_ = false;
};

}  // namespace qkern::bindings
