// round_half_even without an instruction for it, the same bits on every processor.
//
// Adding 1.5 * 2^23 to a float of magnitude below 2^22 leaves the rounded integer in the low bits of the significand (the
// processor's default rounding is half to even). Clamping comes first: the bounds are integers, so it commutes with rounding.
#pragma once

#include <cstdint>

namespace qkern::elementwise {
namespace {  // internal linkage: each tier compiles its own copy

// low, high: integers of magnitude < 2^22. NaN gives low; callers that can meet one replace it first.
inline std::int32_t round_clamped(float value, float low, float high) {
  constexpr float magic = 12582912.0f;
  value = value > low ? value : low;
  value = value < high ? value : high;
  return __builtin_bit_cast(std::int32_t, value + magic) - __builtin_bit_cast(std::int32_t, magic);
}

// The same on a vector of floats.
template <class Simd>
[[gnu::always_inline]] inline typename Simd::I32 round_clamped(typename Simd::F32 value, float low, float high) {
  using Floats = typename Simd::F32;
  const Floats lowest = Floats{} + low, highest = Floats{} + high, magic = Floats{} + 12582912.0f;
  value = value > lowest ? value : lowest;
  value = value < highest ? value : highest;
  return reinterpret_cast<typename Simd::I32>(value + magic) - reinterpret_cast<typename Simd::I32>(magic);
}

}  // namespace
}  // namespace qkern::elementwise
