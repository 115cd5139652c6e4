#include "ops/requantize.h"

#include <pybind11/stl.h>

#include "bindings/fast_call.h"
#include "bindings/ndarray.h"
#include "bindings/rounding.h"
#include "ops/formulas.h"

namespace qkern::bindings {
namespace {

// In float64, as TensorFlow Lite has them.
std::vector<double> fixed_point_multipliers(const py::object& multiplier, Index channels, const std::string& rounding) {
  positive_floats(multiplier, "multiplier", channels);  // the same checks
  const auto doubles = converted<double>(real_numbers(multiplier, "multiplier"));
  std::vector<double> result(doubles.data(), doubles.data() + doubles.size());
  for (const double one : result) {
    if (one >= 2147483648.0) value_error("multiplier must be below 2**31 with rounding='" + rounding + "'");
  }
  return result;
}

py::object requantize(const py::array& acc, const py::object& multiplier, std::int64_t zero, const py::object& dtype, Index axis,
                      const py::object& bias, const std::optional<std::pair<std::int64_t, std::int64_t>>& clamp, const std::string& rounding,
                      const py::object& out) {
  dtype_of(acc, "acc", {DType::Int32});
  const py::array input = contiguous(acc);
  const DType to = dtype.is_none() ? DType::Int8 : parse_dtype(dtype, "dtype", codes);
  const Shape shape = shape_of(input);
  // A 0-d accumulator has no axis; its parameters are scalars.
  const std::optional<Index> at = shape.empty() ? std::nullopt : std::optional(normalize_axis(axis, shape.size(), "axis"));
  const Index channels = at ? shape[static_cast<std::size_t>(*at)] : -1;
  const ops::Rounding how =
      parse_rounding(rounding, {ops::Rounding::HalfEven, ops::Rounding::HalfAway, ops::Rounding::Tflite, ops::Rounding::Gemmlowp});
  const bool fixed_point = how == ops::Rounding::Tflite || how == ops::Rounding::Gemmlowp;
  std::vector<double> multipliers = fixed_point ? fixed_point_multipliers(multiplier, channels, rounding) : std::vector<double>();
  if (!fixed_point) {
    const auto floats = positive_floats(multiplier, "multiplier", channels);
    multipliers.assign(floats.begin(), floats.end());
  }
  std::vector<std::int32_t> biases{0};
  if (!bias.is_none()) biases = integers(bias, "bias", channels, INT32_MIN, INT32_MAX);
  const bool per_channel = multipliers.size() > 1 || biases.size() > 1;
  if (per_channel && multipliers.size() == 1) multipliers.assign(biases.size(), multipliers[0]);
  if (per_channel && biases.size() == 1) biases.assign(multipliers.size(), biases[0]);
  const std::int32_t zero_code = zero_point(zero, "zero_point", to);
  const ops::Codes bounds = parse_clamp(clamp, to);
  Output output(out, shape, to, {&input});
  const ops::AxisView view = axis_view(shape, per_channel ? at : std::nullopt);
  const auto* from = static_cast<const std::int32_t*>(input.data());
  void* result = output.data();
  {
    const WithoutGil release;
    const std::vector<float> floats(multipliers.begin(), multipliers.end());  // as they were
    if (fixed_point) ops::requantize_fixed_point(from, view, multipliers, biases, zero_code, bounds, to, how, result);
    else if (how == ops::Rounding::HalfAway) ops::requantize_half_away(from, view, floats, biases, zero_code, bounds, to, result);
    else ops::requantize(from, view, floats, biases, zero_code, bounds, to, result);
  }
  return output.finish();
}

// One multiplier, the whole range of codes.
PyObject* fast_requantize(const Arguments& arguments) {
  PyObject *const dtype = arguments[3], *const axis = arguments[4], *const bias = arguments[5], *const clamp = arguments[6];
  const py::array input = exact_array(arguments[0]);
  if (!input || fast_dtype(input) != DType::Int32 || !is_dense(input) || input.size() > most_elements) return nullptr;
  const auto to = fast_codes(dtype);
  const auto multiplier = fast_scale(arguments[1]);
  const bool has_axis = axis == nullptr || fast_integer(axis, -input.ndim(), input.ndim() - 1);
  if (!to || !multiplier || !has_axis || !is_absent(clamp)) return nullptr;
  const auto zero = fast_zero_point(arguments[2], *to);
  const auto offset = fast_integer(bias == Py_None ? nullptr : bias, INT32_MIN, INT32_MAX);
  if (!zero || !offset) return nullptr;
  py::array result = fast_result(arguments[7], input.ndim(), input.shape(), *to, {&input});
  if (!result) return nullptr;
  ops::requantize(static_cast<const std::int32_t*>(input.data()), {1, 1, input.size()}, {&*multiplier, 1}, {&*offset, 1}, *zero,
                  {lowest(*to), highest(*to)}, *to, result.mutable_data());
  return result.release().ptr();
}

}  // namespace

void bind_requantize(py::module_& m) {
  m.def("requantize", &requantize, py::arg("acc"), py::arg("multiplier"), py::arg("zero_point") = 0, py::kw_only(), py::arg("dtype") = py::none(),
        py::arg("axis") = -1, py::arg("bias") = py::none(), py::arg("clamp") = py::none(), py::arg("rounding") = "half_even",
        py::arg("out") = py::none(),
        R"(Brings int32 accumulators back to 8 bits.

y = clamp(saturate(round_half_even(float32(acc + bias) * multiplier) + zero_point)), acc + bias modulo 2**32, as ONNX
QLinearConv and QLinearMatMul compute it.

Args:
    acc: int32 of any shape.
    multiplier: (a_scale * b_scale) / y_scale, finite and > 0; a scalar, or one per index of `axis`.
    zero_point: within the range of `dtype`.
    dtype: int8 (default) or uint8.
    axis: the axis along which multiplier and bias vary.
    bias: int32, a scalar or one per index of `axis`.
    clamp: (low, high) codes, e.g. of a fused activation; default: the range of `dtype`.
    rounding: "half_even"; "half_away": ties go away from 0. In fixed point, from multipliers of float64 below 2**31: "tflite", rounded
        once, as TensorFlow Lite's fully connected layers do; "gemmlowp", rounded twice, as its convolutions do.
    out: where the result goes; same shape, of `dtype`.

Raises ValueError for an invalid parameter or shape, TypeError for a wrong dtype.)");
  add_fast_call<fast_requantize>(m, "requantize", 3, {"acc", "multiplier", "zero_point", "dtype", "axis", "bias", "clamp", "out"});
}

}  // namespace qkern::bindings
