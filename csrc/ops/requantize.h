// y = clamp(saturate(round_half_even(float(acc + bias) * multiplier) + zero_point))
//
// acc int32 [outer, channels, inner] contiguous; multiplier and bias one per channel (1 channel: per array).
#pragma once

#include "ops/quantize.h"

namespace qkern::ops {

// Codes a result is clamped to; both within the range of the output type.
struct Codes {
  std::int32_t low, high;
};

void requantize(const std::int32_t* acc, AxisView view, std::span<const float> multiplier, std::span<const std::int32_t> bias,
                std::int32_t zero_point, Codes clamp, DType dtype, void* y);

}  // namespace qkern::ops
