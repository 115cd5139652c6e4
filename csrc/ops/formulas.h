// Formulas beside the common one: parameters per block, codes of 16 and of 4 bits, other roundings. Plain loops in baseline
// code, the same for every tier.
//
//   quantize:    q = saturate(round(x / scale) + zero_point), or
//                saturate(round_half_even(fma(x, 1 / scale, zero_point))); NaN -> zero_point
//   dequantize:  x = float(q - zero_point) * scale
//   requantize:  y = clamp(saturate(round_half_away(float(acc + bias) * multiplier) + zero_point))
//                y = clamp(saturate(fixed_point(acc + bias, multiplier) + zero_point)), see fixed_point.h
#pragma once

#include <span>

#include "ops/requantize.h"

namespace qkern::ops {

enum class Rounding : std::uint8_t { HalfEven, HalfAway, Reciprocal, Tflite, Gemmlowp };

// Which parameter an element has: the array is [outer, size, inner], contiguous, and the element (o, s, i) has that at
// o * outer_step + s / block * step + i * inner_step.
struct ParameterView {
  Index outer, size, inner, block, outer_step, step, inner_step;
};

// Rounding: neither Tflite nor Gemmlowp.
void quantize_any(const float* x, const ParameterView& view, std::span<const float> scale, std::span<const std::int32_t> zero_point, DType dtype,
                  Rounding rounding, void* y);
void dequantize_any(const void* q, DType dtype, const ParameterView& view, std::span<const float> scale, std::span<const std::int32_t> zero_point,
                    float* y);

void requantize_half_away(const std::int32_t* acc, AxisView view, std::span<const float> multiplier, std::span<const std::int32_t> bias,
                          std::int32_t zero_point, Codes clamp, DType dtype, void* y);
// Rounding: Tflite or Gemmlowp.
void requantize_fixed_point(const std::int32_t* acc, AxisView view, std::span<const double> multiplier, std::span<const std::int32_t> bias,
                            std::int32_t zero_point, Codes clamp, DType dtype, Rounding rounding, void* y);

}  // namespace qkern::ops
