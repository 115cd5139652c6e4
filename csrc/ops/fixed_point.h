// Products with a real multiplier in integers, as TensorFlow Lite computes them. A multiplier is
//
//   significand * 2^(exponent - 31),  2^30 <= significand < 2^31, rounded half away from 0
//
// and 0 below 2^-32. Products are exact, then rounded once or twice; tests/ops/test_other_stacks.py holds us to LiteRT 2.3, whose
// fully connected layers round once and whose convolutions round twice.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace qkern::ops {

struct FixedPoint {
  std::int64_t significand = 0;
  int exponent = 0;

  // multiplier: finite, > 0, below 2^31.
  explicit FixedPoint(double multiplier) {
    significand = static_cast<std::int64_t>(std::round(std::frexp(multiplier, &exponent) * 2147483648.0));
    if (significand == std::int64_t{1} << 31) {
      significand /= 2;
      ++exponent;
    }
    if (exponent < -31) significand = exponent = 0;
  }
};

// x * significand / 2^(31 - exponent), half away from 0.
struct RoundedOnce : FixedPoint {
  using FixedPoint::FixedPoint;

  std::int64_t times(std::int32_t x) const {
    const int shift = 31 - exponent;
    const std::int64_t product = x * significand, magnitude = product < 0 ? -product : product;  // at most 2^62
    const std::int64_t rounded = (magnitude + (std::int64_t{1} << shift >> 1)) >> shift;
    return product < 0 ? -rounded : rounded;
  }
};

// By 2^31, ties up, then by the rest, ties away from 0: gemmlowp's SaturatingRoundingDoublingHighMul and RoundingDivideByPOT.
// Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018.
struct RoundedTwice : FixedPoint {
  using FixedPoint::FixedPoint;

  std::int64_t times(std::int32_t x) const {
    // What leaves int32 here is beyond any code in the end.
    const std::int64_t shifted = std::clamp(std::int64_t{x} << std::max(exponent, 0), std::int64_t{INT32_MIN}, std::int64_t{INT32_MAX});
    const std::int64_t high = (shifted * significand + (std::int64_t{1} << 30)) >> 31;
    const int right = std::max(-exponent, 0);
    const std::int64_t magnitude = high < 0 ? -high : high, rounded = (magnitude + (std::int64_t{1} << right >> 1)) >> right;
    return high < 0 ? -rounded : rounded;
  }
};

}  // namespace qkern::ops
