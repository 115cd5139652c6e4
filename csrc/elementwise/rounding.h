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

// The same on a vector of floats, before the last subtraction: the bits hold the rounded integer plus `rounding_bits`.
constexpr std::int32_t rounding_bits = __builtin_bit_cast(std::int32_t, 12582912.0f);

template <class Simd>
[[gnu::always_inline]] inline typename Simd::I32 rounded_bits(typename Simd::F32 value, typename Simd::F32 low, typename Simd::F32 high) {
  value = value > low ? value : low;
  value = value < high ? value : high;
  return reinterpret_cast<typename Simd::I32>(value + 12582912.0f);
}

}  // namespace
}  // namespace qkern::elementwise
