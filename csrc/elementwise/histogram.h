// What calibration needs of float32 numbers: extremes, and the bin of each.
#pragma once

#include <limits>

#include "elementwise/kernels.h"

namespace qkern::elementwise {
namespace {  // internal linkage: each tier compiles its own copy

template <class Simd>
struct Histogram {
  using F32 = typename Simd::F32;
  using I32 = typename Simd::I32;
  static constexpr Index lanes = Simd::lanes;

  static F32 load(const float* from) {
    F32 value;
    __builtin_memcpy(&value, from, sizeof value);
    return value;
  }
  static F32 smaller(F32 a, F32 b) { return a < b ? a : b; }
  static F32 larger(F32 a, F32 b) { return a > b ? a : b; }

  // NaN where a number is NaN.
  static Range extremes(const float* x, Index n) {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    F32 low = F32{} + infinity, high = F32{} - infinity;
    I32 nan{};
    Index i = 0;
    for (; i + lanes <= n; i += lanes) {
      const F32 value = load(x + i);
      low = smaller(value, low), high = larger(value, high);
      nan |= value != value;
    }
    Range all = reduced(low, high);
    bool any_nan = false;
    for (Index lane = 0; lane < lanes; ++lane) any_nan |= nan[lane] != 0;
    for (; i < n; ++i) {
      all = {x[i] < all.low ? x[i] : all.low, x[i] > all.high ? x[i] : all.high};
      any_nan |= x[i] != x[i];
    }
    constexpr float quiet_nan = std::numeric_limits<float>::quiet_NaN();
    return any_nan ? Range{quiet_nan, quiet_nan} : all;
  }

  static Binned find_bins(const float* x, Index n, float factor, std::int32_t first, std::uint32_t* bins) {
    const auto least = static_cast<float>(first - 1), most = static_cast<float>(first + histogram_bins);  // both outside
    constexpr float infinity = std::numeric_limits<float>::infinity();
    F32 low = F32{} + infinity, high = F32{} - infinity;
    I32 zeros{}, outside{};
    Index i = 0;
    for (; i + lanes <= n; i += lanes) {
      const F32 value = load(x + i);
      low = smaller(value, low), high = larger(value, high);
      const F32 scaled = smaller(larger(value * factor, F32{} + least), F32{} + most);  // NaN is `least`
      const I32 bin = __builtin_convertvector(scaled, I32) + (value < 0.0f) - first;    // a mask is -1 where it is true
      zeros -= value == 0.0f;
      outside |= bin;
      __builtin_memcpy(bins + i, &bin, sizeof bin);
    }
    Binned found{reduced(low, high), 0, false};
    std::uint32_t bits = 0;
    for (Index lane = 0; lane < lanes; ++lane) {
      found.zeros += zeros[lane];
      bits |= static_cast<std::uint32_t>(outside[lane]);
    }
    for (; i < n; ++i) {
      found.range = {x[i] < found.range.low ? x[i] : found.range.low, x[i] > found.range.high ? x[i] : found.range.high};
      float scaled = x[i] * factor;
      scaled = scaled > least ? scaled : least;
      scaled = scaled < most ? scaled : most;
      bins[i] = static_cast<std::uint32_t>(static_cast<std::int32_t>(scaled) - (x[i] < 0.0f ? 1 : 0) - first);
      found.zeros += x[i] == 0.0f ? 1 : 0;
      bits |= bins[i];
    }
    found.outside = bits >= histogram_bins;
    return found;
  }

  static Range reduced(F32 low, F32 high) {
    Range range{low[0], high[0]};
    for (Index lane = 1; lane < lanes; ++lane) {
      range = {low[lane] < range.low ? low[lane] : range.low, high[lane] > range.high ? high[lane] : range.high};
    }
    return range;
  }
};

}  // namespace
}  // namespace qkern::elementwise
