// quantize:    q = saturate(round_half_even(x / scale) + zero_point), NaN -> zero_point
// dequantize:  x = float(q - zero_point) * scale
//
// Parameters per array, or per index of one axis: the array is [outer, channels, inner], channels = number of parameters
// (1 per array). Arrays are contiguous; the caller has checked parameters and sizes.
#pragma once

#include <span>

#include "tensor/types.h"

namespace qkern::ops {

struct AxisView {
  Index outer, channels, inner;
};

void quantize(const float* x, AxisView view, std::span<const float> scale, std::span<const std::int32_t> zero_point, DType dtype, void* y);
void dequantize(const void* q, DType dtype, AxisView view, std::span<const float> scale, std::span<const std::int32_t> zero_point, float* y);

}  // namespace qkern::ops
