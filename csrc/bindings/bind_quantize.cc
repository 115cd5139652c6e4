#include "ops/quantize.h"

#include <pybind11/stl.h>

#include "bindings/fast_call.h"
#include "bindings/native_call.h"
#include "bindings/rounding.h"
#include "ops/formulas.h"
#include "program/calls.h"

namespace qkern::bindings {
namespace {

// float32 as it is; other real floating types rounded to float32 first.
py::array as_float32(const py::object& x) {
  if (py::isinstance<py::array>(x)) {
    auto given = py::reinterpret_borrow<py::array>(x);
    if (is_float32(given) && is_dense(given)) return given;
  }
  py::array array = py::array::ensure(x);
  if (!array) {
    PyErr_Clear();
    type_error("x must be an array of floats");
  }
  if (array.dtype().kind() != 'f' && !is_ml_dtype(array.dtype(), "bfloat16"))
    type_error("x is " + std::string(py::str(static_cast<py::handle>(array.dtype()))) + "; expected float32");
  return converted<float>(array);
}

// Both parameters with one value per channel where either has.
struct Parameters {
  std::vector<float> scale;
  std::vector<std::int32_t> zero_point;
  ops::AxisView view;
};

Parameters parameters(const py::object& scale, const py::object& zero_point, DType dtype, const Shape& shape, std::optional<Index> axis) {
  if (axis) axis = normalize_axis(*axis, shape.size(), "axis");
  const Index channels = axis ? shape[static_cast<std::size_t>(*axis)] : -1;
  Parameters p{positive_floats(scale, "scale", channels), zero_points(zero_point, "zero_point", channels, dtype), {}};
  if (p.scale.size() == 1 && p.zero_point.size() == 1) {
    p.view = axis_view(shape, std::nullopt);
    return p;
  }
  p.view = axis_view(shape, axis);
  if (p.scale.size() == 1) p.scale.assign(p.zero_point.size(), p.scale[0]);
  if (p.zero_point.size() == 1) p.zero_point.assign(p.scale.size(), p.zero_point[0]);
  return p;
}

// The same for formulas beside the common one.
struct BlockParameters {
  std::vector<float> scale;
  std::vector<std::int32_t> zero_point;
  ops::ParameterView view;
};

BlockParameters block_parameters(const py::object& scale, const py::object& zero_point, DType dtype, const Shape& shape, std::optional<Index> axis,
                                 Index block_size) {
  if (block_size < 1) value_error("block_size must be at least 1");
  if (!axis) value_error("block_size needs an axis, along which the blocks lie");
  const auto at = static_cast<std::size_t>(normalize_axis(*axis, shape.size(), "axis"));
  Shape wanted = shape;
  wanted[at] = shape[at] / block_size + (shape[at] % block_size != 0 ? 1 : 0);
  const auto flat = [&](const py::object& value, const char* argument) {
    const py::array array = real_numbers(value, argument);
    if (array.ndim() == 0) return array;
    if (shape_of(array) != wanted) {
      value_error(std::string(argument) + " has shape " + to_string(shape_of(array)) + "; expected a scalar or " + to_string(wanted));
    }
    return contiguous(array).reshape({Index{-1}});
  };
  const Index count = product(wanted), inner = product(shape, at + 1, shape.size());
  BlockParameters p{
      positive_floats(flat(scale, "scale"), "scale", count), zero_points(flat(zero_point, "zero_point"), "zero_point", count, dtype), {}};
  p.scale.resize(static_cast<std::size_t>(count), p.scale.empty() ? 1.0f : p.scale[0]);
  p.zero_point.resize(static_cast<std::size_t>(count), p.zero_point.empty() ? 0 : p.zero_point[0]);
  p.view = {product(shape, 0, at), shape[at], inner, block_size, wanted[at] * inner, inner, 1};
  return p;
}

BlockParameters any_parameters(const py::object& scale, const py::object& zero_point, DType dtype, const Shape& shape, std::optional<Index> axis,
                               std::optional<Index> block_size) {
  if (block_size) return block_parameters(scale, zero_point, dtype, shape, axis, *block_size);
  Parameters p = parameters(scale, zero_point, dtype, shape, axis);
  const auto [outer, channels, inner] = p.view;
  if (channels == 1) return {std::move(p.scale), std::move(p.zero_point), {outer, inner, 1, std::max(inner, Index{1}), 0, 0, 0}};
  return {std::move(p.scale), std::move(p.zero_point), {outer, channels, inner, 1, 0, 1, 0}};
}

constexpr std::initializer_list<DType> all_codes{DType::Int8, DType::Uint8, DType::Int16, DType::Uint16, DType::Int4, DType::Uint4};
constexpr std::initializer_list<DType> codes_and_sums{DType::Int8, DType::Uint8, DType::Int16, DType::Uint16,
                                                      DType::Int4, DType::Uint4, DType::Int32};
bool has_kernel(DType dtype) { return dtype == DType::Int8 || dtype == DType::Uint8 || dtype == DType::Int32; }

py::object quantize(const py::object& x, const py::object& scale, const py::object& zero_point, const py::object& dtype, std::optional<Index> axis,
                    std::optional<Index> block_size, const std::string& rounding, const py::object& out) {
  const py::array input = as_float32(x);
  const DType to = dtype.is_none() ? DType::Int8 : parse_dtype(dtype, "dtype", all_codes);
  const ops::Rounding how = parse_rounding(rounding, {ops::Rounding::HalfEven, ops::Rounding::HalfAway, ops::Rounding::Reciprocal});
  const Shape shape = shape_of(input);
  const auto* from = static_cast<const float*>(input.data());
  if (has_kernel(to) && !block_size && how == ops::Rounding::HalfEven) {
    const Parameters p = parameters(scale, zero_point, to, shape, axis);
    Output output(out, shape, to, {&input});
    void* result = output.data();
    {
      const WithoutGil release;
      ops::quantize(from, p.view, p.scale, p.zero_point, to, result);
    }
    return output.finish();
  }
  const BlockParameters p = any_parameters(scale, zero_point, to, shape, axis, block_size);
  Output output(out, shape, to, {&input});
  void* result = output.data();
  {
    const WithoutGil release;
    ops::quantize_any(from, p.view, p.scale, p.zero_point, to, how, result);
  }
  return output.finish();
}

py::object dequantize(const py::object& q, const py::object& scale, const py::object& zero_point, std::optional<Index> axis,
                      std::optional<Index> block_size, const py::object& out) {
  const py::array given = array_or_scalar(q, "q");
  const DType from_type = dtype_of(given, "q", codes_and_sums);
  const py::array input = contiguous(given);
  const Shape shape = shape_of(input);
  const void* from = input.data();
  if (has_kernel(from_type) && !block_size) {
    const Parameters p = parameters(scale, zero_point, from_type, shape, axis);
    Output output(out, shape, DType::Float32, {&input});
    auto* result = static_cast<float*>(output.data());
    {
      const WithoutGil release;
      ops::dequantize(from, from_type, p.view, p.scale, p.zero_point, result);
    }
    return output.finish();
  }
  const BlockParameters p = any_parameters(scale, zero_point, from_type, shape, axis, block_size);
  Output output(out, shape, DType::Float32, {&input});
  auto* result = static_cast<float*>(output.data());
  {
    const WithoutGil release;
    ops::dequantize_any(from, from_type, p.view, p.scale, p.zero_point, result);
  }
  return output.finish();
}

NativeCallPtr native_quantize(const Shape& shape, const py::object& scale, const py::object& zero_point, const py::object& dtype,
                              std::optional<Index> axis) {
  const DType to = parse_dtype(dtype, "dtype", codes);
  Parameters p = parameters(scale, zero_point, to, shape, axis);
  return std::make_shared<program::Quantize>(p.view, std::move(p.scale), std::move(p.zero_point), to);
}

NativeCallPtr native_dequantize(const Shape& shape, const py::object& dtype, const py::object& scale, const py::object& zero_point,
                                std::optional<Index> axis) {
  const DType from = parse_dtype(dtype, "q", {DType::Int8, DType::Uint8, DType::Int32});
  Parameters p = parameters(scale, zero_point, from, shape, axis);
  return std::make_shared<program::Dequantize>(p.view, std::move(p.scale), std::move(p.zero_point), from);
}

// A whole array with one scale and one zero point.
PyObject* fast_quantize(const Arguments& arguments) {
  PyObject *const x = arguments[0], *const scale = arguments[1], *const zero_point = arguments[2], *const dtype = arguments[3],
                  *const axis = arguments[4], *const out = arguments[5];
  const py::array input = exact_array(x);
  if (!input || fast_dtype(input) != DType::Float32 || !is_dense(input) || input.size() > most_elements || !is_absent(axis)) return nullptr;
  const auto to = fast_codes(dtype);
  const auto step = fast_scale(scale);
  const auto zero = to ? fast_zero_point(zero_point, *to) : std::nullopt;
  if (!step || !zero) return nullptr;
  py::array result = fast_result(out, input.ndim(), input.shape(), *to, {&input});
  if (!result) return nullptr;
  ops::quantize(static_cast<const float*>(input.data()), {1, 1, input.size()}, {&*step, 1}, {&*zero, 1}, *to, result.mutable_data());
  return result.release().ptr();
}

PyObject* fast_dequantize(const Arguments& arguments) {
  PyObject *const q = arguments[0], *const scale = arguments[1], *const zero_point = arguments[2], *const axis = arguments[3],
                  *const out = arguments[4];
  const py::array input = exact_array(q);
  const auto from = input ? fast_dtype(input) : std::nullopt;
  if (!from || *from == DType::Float32 || !is_dense(input) || input.size() > most_elements || !is_absent(axis)) return nullptr;
  const auto step = fast_scale(scale);
  const auto zero = fast_zero_point(zero_point, *from);
  if (!step || !zero) return nullptr;
  py::array result = fast_result(out, input.ndim(), input.shape(), DType::Float32, {&input});
  if (!result) return nullptr;
  ops::dequantize(input.data(), *from, {1, 1, input.size()}, {&*step, 1}, {&*zero, 1}, static_cast<float*>(result.mutable_data()));
  return result.release().ptr();
}

}  // namespace

void add_native_quantize(NativeCall& calls) {
  calls
      .def_static("quantize", &native_quantize, py::arg("shape"), py::arg("scale"), py::arg("zero_point"), py::kw_only(), py::arg("dtype"),
                  py::arg("axis"), "A call of quantize() on float32.")
      .def_static("dequantize", &native_dequantize, py::arg("shape"), py::arg("dtype"), py::arg("scale"), py::arg("zero_point"), py::kw_only(),
                  py::arg("axis"), "A call of dequantize() on codes of that dtype.");
}

void bind_quantize(py::module_& m) {
  m.def("quantize", &quantize, py::arg("x"), py::arg("scale"), py::arg("zero_point") = 0, py::kw_only(), py::arg("dtype") = py::none(),
        py::arg("axis") = py::none(), py::arg("block_size") = py::none(), py::arg("rounding") = "half_even", py::arg("out") = py::none(),
        R"(Quantizes floats to codes of 8, 16 or 4 bits.

q = saturate(round_half_even(x / scale) + zero_point), a true division in float32, as ONNX QuantizeLinear. +-inf saturates,
NaN becomes zero_point (real 0).

Args:
    x: floats of any shape; other types than float32 (bfloat16 too) are rounded to float32 first.
    scale: finite and > 0; a scalar, or one per index of `axis`, or one per block.
    zero_point: within the range of `dtype`; a scalar, or as many as scales.
    dtype: int8 (default), uint8, int16, uint16, or int4 and uint4 of ml_dtypes.
    axis: the axis along which parameters vary.
    block_size: so many neighbours along `axis` share a parameter, as in ONNX from opset 21 on; the parameters then have all axes
        of x, and ceil(n / block_size) entries along `axis`.
    rounding: "half_even"; "half_away": ties go away from 0 (TensorFlow Lite); "reciprocal": half to even of
        fma(x, 1 / scale, zero_point) in float32, 1 / scale rounded first (PyTorch).
    out: where the result goes; same shape, of `dtype`.

Raises ValueError for an invalid parameter or shape, TypeError for a wrong dtype.)");
  m.def("dequantize", &dequantize, py::arg("q"), py::arg("scale"), py::arg("zero_point") = 0, py::kw_only(), py::arg("axis") = py::none(),
        py::arg("block_size") = py::none(), py::arg("out") = py::none(),
        R"(The real numbers of codes, or of int32 sums.

x = float32(q - zero_point) * scale, the subtraction in integers, as ONNX DequantizeLinear.

Args:
    q: int8, uint8, int16, uint16, int32, or int4 and uint4 of ml_dtypes; any shape.
    scale: finite and > 0; a scalar, or one per index of `axis`, or one per block.
    zero_point: within the range of q's dtype; a scalar, or as many as scales.
    axis: the axis along which parameters vary.
    block_size: as for quantize.
    out: where the result goes; float32 of the same shape.

Raises ValueError for an invalid parameter or shape, TypeError for a wrong dtype.)");
  add_fast_call<fast_quantize>(m, "quantize", 3, {"x", "scale", "zero_point", "dtype", "axis", "out"});
  add_fast_call<fast_dequantize>(m, "dequantize", 3, {"q", "scale", "zero_point", "axis", "out"});
}

}  // namespace qkern::bindings
