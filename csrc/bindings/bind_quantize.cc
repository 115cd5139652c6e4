#include "ops/quantize.h"

#include <pybind11/stl.h>

#include "bindings/fast_call.h"
#include "bindings/native_call.h"
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
  if (array.dtype().kind() != 'f') type_error("x is " + std::string(py::str(static_cast<py::handle>(array.dtype()))) + "; expected float32");
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

py::object quantize(const py::object& x, const py::object& scale, const py::object& zero_point, const py::object& dtype, std::optional<Index> axis,
                    const py::object& out) {
  const py::array input = as_float32(x);
  const DType to = dtype.is_none() ? DType::Int8 : parse_dtype(dtype, "dtype", codes);
  const Shape shape = shape_of(input);
  const Parameters p = parameters(scale, zero_point, to, shape, axis);
  Output output(out, shape, to, {&input});
  const auto* from = static_cast<const float*>(input.data());
  void* result = output.data();
  {
    const WithoutGil release;
    ops::quantize(from, p.view, p.scale, p.zero_point, to, result);
  }
  return output.finish();
}

py::object dequantize(const py::object& q, const py::object& scale, const py::object& zero_point, std::optional<Index> axis, const py::object& out) {
  const py::array given = array_or_scalar(q, "q");
  const DType from_type = dtype_of(given, "q", {DType::Int8, DType::Uint8, DType::Int32});
  const py::array input = contiguous(given);
  const Shape shape = shape_of(input);
  const Parameters p = parameters(scale, zero_point, from_type, shape, axis);
  Output output(out, shape, DType::Float32, {&input});
  const void* from = input.data();
  auto* result = static_cast<float*>(output.data());
  {
    const WithoutGil release;
    ops::dequantize(from, from_type, p.view, p.scale, p.zero_point, result);
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
        py::arg("axis") = py::none(), py::arg("out") = py::none(),
        R"(Quantizes floats to int8 or uint8.

q = saturate(round_half_even(x / scale) + zero_point), a true division in float32, as ONNX QuantizeLinear. +-inf saturates,
NaN becomes zero_point (real 0).

Args:
    x: floats of any shape; other types than float32 are rounded to float32 first.
    scale: finite and > 0; a scalar, or one per index of `axis`.
    zero_point: within the range of `dtype`; a scalar, or one per index of `axis`.
    dtype: int8 (default) or uint8.
    axis: the axis along which parameters vary.
    out: where the result goes; same shape, of `dtype`.

Raises ValueError for an invalid parameter or shape, TypeError for a wrong dtype.)");
  m.def("dequantize", &dequantize, py::arg("q"), py::arg("scale"), py::arg("zero_point") = 0, py::kw_only(), py::arg("axis") = py::none(),
        py::arg("out") = py::none(),
        R"(The real numbers of int8, uint8 or int32 codes.

x = float32(q - zero_point) * scale, the subtraction in integers, as ONNX DequantizeLinear.

Args:
    q: int8, uint8 or int32 of any shape.
    scale: finite and > 0; a scalar, or one per index of `axis`.
    zero_point: within the range of q's dtype; a scalar, or one per index of `axis`.
    axis: the axis along which parameters vary.
    out: where the result goes; float32 of the same shape.

Raises ValueError for an invalid parameter or shape, TypeError for a wrong dtype.)");
  add_fast_call<fast_quantize>(m, "quantize", 3, {"x", "scale", "zero_point", "dtype", "axis", "out"});
  add_fast_call<fast_dequantize>(m, "dequantize", 3, {"q", "scale", "zero_point", "axis", "out"});
}

}  // namespace qkern::bindings
