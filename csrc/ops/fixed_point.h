// A product with a real multiplier in integers, as TensorFlow Lite computes it:
//
//   multiplier = significand * 2^(exponent - 31),  2^30 <= significand < 2^31, rounded half away from 0
//   result = x * significand / 2^(31 - exponent), exact and then rounded once, half away from 0
//
// Below 2^-32 a multiplier is 0.
// Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018, which rounds
// twice; so did early versions. Version 2.3 of LiteRT rounds once, and tests/ops/test_other_stacks.py holds us to that.
#pragma once

#include <cmath>
#include <cstdint>

namespace qkern::ops {

struct FixedPoint {
  std::int64_t significand = 0;
  int shift = 0;

  // multiplier: finite, > 0, below 2^31.
  explicit FixedPoint(double multiplier) {
    int exponent = 0;
    significand = static_cast<std::int64_t>(std::round(std::frexp(multiplier, &exponent) * 2147483648.0));
    if (exponent < -31) significand = 0;
    else shift = 31 - exponent;
  }

  std::int64_t times(std::int32_t x) const {
    const std::int64_t product = x * significand, magnitude = product < 0 ? -product : product;  // at most 2^62
    const std::int64_t rounded = (magnitude + (std::int64_t{1} << shift >> 1)) >> shift;
    return product < 0 ? -rounded : rounded;
  }
};

}  // namespace qkern::ops
