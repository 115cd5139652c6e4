// code = index of the level nearest to x / scale, of two that are as near the lower one; NaN gets what 0 gets.
//
// Scales per array or per index of one axis, as in ops/quantize.h. The caller has checked scales and levels.
#pragma once

#include "ops/quantize.h"

namespace qkern::ops {

// levels: ascending, 1 to 16, or all 256 of int8.
void encode(const float* x, AxisView view, std::span<const float> scale, std::span<const std::int8_t> levels, std::uint8_t* y);

}  // namespace qkern::ops
