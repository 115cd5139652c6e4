// What the prepacked layers share: their output arguments, and weights in float.
#pragma once

#include <cmath>

#include "bindings/ndarray.h"
#include "ops/channels.h"

namespace qkern::bindings {

using Clamp = std::optional<std::pair<std::int64_t, std::int64_t>>;

// (rows, columns, columns of a vector) that the layer's kernel computes at once; None for a layer that is no matrix product.
template <class Layer>
py::object tile_of(const Layer& layer) {
  const gemm::GemmKernels* tile = layer.tile();
  if (tile == nullptr) return py::none();
  return py::make_tuple(tile->rows, tile->cols, tile->lanes);
}

inline constexpr const char* is_safe_doc = "Whether products are by the tier's kernel for saturation-safe weights; Winograd's aren't.";

inline ops::LayerOutput layer_output(const std::optional<double>& y_scale, std::int64_t y_zero_point, const py::object& y_dtype, const Clamp& clamp) {
  ops::LayerOutput output;
  if (!y_scale) {
    if (clamp) value_error("clamp needs y_scale: a float32 output has no codes");
    output.dtype = DType::Float32;
    return output;
  }
  output.dtype = y_dtype.is_none() ? DType::Uint8 : parse_dtype(y_dtype, "y_dtype", codes);
  output.y_scale = positive_float(*y_scale, "y_scale");
  output.y_zero_point = zero_point(y_zero_point, "y_zero_point", output.dtype);
  output.clamp = parse_clamp(clamp, output.dtype);
  return output;
}

// The zero point of activations whose dtype is known only when they come: int8's or uint8's range.
inline std::int32_t activation_zero_point(std::int64_t value) {
  if (value < -128 || value > 255) value_error("x_zero_point " + std::to_string(value) + " is out of the range of int8 and uint8");
  return static_cast<std::int32_t>(value);
}
inline void check_zero_point(std::int32_t value, DType x_dtype) { zero_point(value, "x_zero_point", x_dtype); }

inline void check_multipliers(std::span<const float> w_scale, float x_scale, const ops::LayerOutput& output) {
  for (const float multiplier : ops::multipliers(x_scale, w_scale, static_cast<Index>(w_scale.size()), output)) {
    if (!std::isfinite(multiplier)) value_error("x_scale * weight_scale / y_scale is not finite");
  }
}

inline std::vector<float> float_bias(const py::object& bias, Index channels) {
  if (bias.is_none()) return std::vector<float>(static_cast<std::size_t>(channels));
  const py::array array = real_numbers(bias, "bias");
  if (array.ndim() != 1 || array.size() != channels) value_error("bias must have shape (" + std::to_string(channels) + ",)");
  const auto floats = converted<float>(array);
  return {floats.data(), floats.data() + channels};
}

inline std::pair<float, float> float_clamp(const std::optional<std::pair<double, double>>& clamp) {
  if (!clamp) return {-INFINITY, INFINITY};
  if (!(clamp->first <= clamp->second)) value_error("clamp: low is above high");
  return {static_cast<float>(clamp->first), static_cast<float>(clamp->second)};
}

}  // namespace qkern::bindings
