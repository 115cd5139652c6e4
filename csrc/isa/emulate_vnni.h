// The AVX-512 and VNNI intrinsics that the tiers use, written out lane by lane after the processor manual's pseudo-code: a build
// with QKERN_EMULATE_VNNI runs those tiers, slowly, on a processor that has AVX2 alone. For tests; never part of a release.
//
// The compiler reads this file before the tier's own (-include), so that the macros replace what <immintrin.h> declares.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace qkern::isa {
namespace {  // internal linkage: each file compiles its own copy

template <class T, int Bytes>
struct Lanes {
  static constexpr int count = Bytes / static_cast<int>(sizeof(T));
  alignas(64) T at[count];

  Lanes() = default;
  template <class V>
  explicit Lanes(const V& vector) {
    static_assert(sizeof(V) == Bytes);
    __builtin_memcpy(at, &vector, Bytes);
  }
  template <class V>
  V as() const {
    V vector;
    __builtin_memcpy(&vector, at, Bytes);
    return vector;
  }
};
using Bytes64 = Lanes<std::uint8_t, 64>;

template <class V>
[[gnu::always_inline]] inline V emulated_load(const void* from) {
  V vector;
  __builtin_memcpy(&vector, from, sizeof vector);
  return vector;
}

// Four products of an unsigned and a signed byte added to each int32, modulo 2^32.
template <class V>
[[gnu::always_inline]] inline V emulated_dpbusd(const V& sum, const V& a, const V& b) {
  constexpr int bytes = sizeof(V);
  Lanes<std::uint32_t, bytes> result(sum);
  const Lanes<std::uint8_t, bytes> left(a);
  const Lanes<std::int8_t, bytes> right(b);
  for (int i = 0; i < bytes; ++i) result.at[i / 4] += static_cast<std::uint32_t>(left.at[i] * right.at[i]);
  return result.template as<V>();
}

// Two products of int16 added to each int32, modulo 2^32.
template <class V>
[[gnu::always_inline]] inline V emulated_dpwssd(const V& sum, const V& a, const V& b) {
  constexpr int bytes = sizeof(V);
  Lanes<std::uint32_t, bytes> result(sum);
  const Lanes<std::int16_t, bytes> left(a), right(b);
  for (int i = 0; i < bytes / 2; ++i) result.at[i / 2] += static_cast<std::uint32_t>(left.at[i] * right.at[i]);
  return result.template as<V>();
}

// What works within 128-bit lanes, by its form for 256 bits.
template <class To, class Half, class V, class Function>
[[gnu::always_inline]] inline To emulated_by_halves(const V& a, const V& b, Function function) {
  Half left[2], right[2];
  __builtin_memcpy(left, &a, sizeof left);
  __builtin_memcpy(right, &b, sizeof right);
  const auto low = function(left[0], right[0]), high = function(left[1], right[1]);
  To result;
  __builtin_memcpy(&result, &low, 32);
  __builtin_memcpy(reinterpret_cast<char*>(&result) + 32, &high, 32);
  return result;
}

#define QKERN_BY_HALVES(name)                                                                                    \
  inline __m512i emulated_##name(const __m512i& a, const __m512i& b) {                                           \
    return emulated_by_halves<__m512i, __m256i>(a, b, [](__m256i x, __m256i y) { return _mm256_##name(x, y); }); \
  }
QKERN_BY_HALVES(packs_epi32)
QKERN_BY_HALVES(packs_epi16)
QKERN_BY_HALVES(packus_epi16)
QKERN_BY_HALVES(adds_epi16)
QKERN_BY_HALVES(max_epi8)
QKERN_BY_HALVES(max_epu8)
QKERN_BY_HALVES(shuffle_epi8)
#undef QKERN_BY_HALVES
inline __m512 emulated_min_ps(const __m512& a, const __m512& b) {
  return emulated_by_halves<__m512, __m256>(a, b, [](__m256 x, __m256 y) { return _mm256_min_ps(x, y); });
}
inline __m512i emulated_cvtps_epi32(const __m512& a) {
  return emulated_by_halves<__m512i, __m256>(a, a, [](__m256 x, __m256) { return _mm256_cvtps_epi32(x); });
}

template <class V>
[[gnu::always_inline]] inline __m512i emulated_repeat(const V& part) {
  V parts[64 / sizeof(V)];
  for (V& each : parts) each = part;
  return emulated_load<__m512i>(parts);
}

[[gnu::always_inline]] inline __m256i emulated_half(const __m512i& vector, int half) {
  __m256i halves[2];
  __builtin_memcpy(halves, &vector, sizeof halves);
  return halves[half];
}

[[gnu::always_inline]] inline __m512i emulated_permute(const __m512i& order, const __m512i& vector) {
  const Lanes<std::uint32_t, 64> index(order), from(vector);
  Lanes<std::uint32_t, 64> result;
  for (int i = 0; i < 16; ++i) result.at[i] = from.at[index.at[i] % 16];
  return result.as<__m512i>();
}

template <class... T>
[[gnu::always_inline]] inline __m512i emulated_setr(T... values) {
  const int all[16] = {values...};
  __m512i vector;
  __builtin_memcpy(&vector, all, sizeof vector);
  return vector;
}

template <class To, class From, class V>
[[gnu::always_inline]] inline __m512i emulated_widen(const V& narrow) {
  const Lanes<From, sizeof(V)> from(narrow);
  Lanes<To, 64> result;
  for (int i = 0; i < result.count; ++i) result.at[i] = from.at[i];
  return result.template as<__m512i>();
}

[[gnu::always_inline]] inline __m128i emulated_narrow(const __m512i& wide) {
  const Lanes<std::uint32_t, 64> from(wide);
  Lanes<std::uint8_t, 16> result;
  for (int i = 0; i < 16; ++i) result.at[i] = static_cast<std::uint8_t>(from.at[i]);
  return result.as<__m128i>();
}

// Elements of T alternately from the low (or high) half of each 128-bit lane of a and b.
template <class T>
[[gnu::always_inline]] inline __m512i emulated_unpack(const __m512i& a, const __m512i& b, bool high) {
  constexpr int lane = 16 / static_cast<int>(sizeof(T));
  const Lanes<T, 64> left(a), right(b);
  Lanes<T, 64> result;
  for (int i = 0; i < result.count; ++i) {
    const int from = i / lane * lane + (high ? lane / 2 : 0) + i % lane / 2;
    result.at[i] = i % 2 == 0 ? left.at[from] : right.at[from];
  }
  return result.template as<__m512i>();
}

// 128-bit lanes: two of a, then two of b.
[[gnu::always_inline]] inline __m512i emulated_shuffle(const __m512i& a, const __m512i& b, int selector) {
  const Bytes64 left(a), right(b);
  Bytes64 result;
  for (int i = 0; i < 64; ++i) {
    const int lane = selector >> (2 * (i / 16)) & 3;
    result.at[i] = (i < 32 ? left : right).at[lane * 16 + i % 16];
  }
  return result.as<__m512i>();
}

template <class T, class V>
[[gnu::always_inline]] inline V emulated_set1(T value) {
  Lanes<T, 64> result;
  for (T& one : result.at) one = value;
  return result.template as<V>();
}

[[gnu::always_inline]] inline __m512 emulated_fmadd(const __m512& a, const __m512& b, const __m512& sum) {
  const Lanes<float, 64> left(a), right(b);
  Lanes<float, 64> result(sum);
  for (int i = 0; i < 16; ++i) result.at[i] = __builtin_fmaf(left.at[i], right.at[i], result.at[i]);
  return result.as<__m512>();
}

}  // namespace
}  // namespace qkern::isa

#define _mm256_dpbusd_avx_epi32(sum, a, b) qkern::isa::emulated_dpbusd<__m256i>(sum, a, b)
#define _mm512_dpbusd_epi32(sum, a, b) qkern::isa::emulated_dpbusd<__m512i>(sum, a, b)
#define _mm256_dpwssd_avx_epi32(sum, a, b) qkern::isa::emulated_dpwssd<__m256i>(sum, a, b)
#define _mm512_dpwssd_epi32(sum, a, b) qkern::isa::emulated_dpwssd<__m512i>(sum, a, b)
#define _mm512_packs_epi32 qkern::isa::emulated_packs_epi32
#define _mm512_packs_epi16 qkern::isa::emulated_packs_epi16
#define _mm512_packus_epi16 qkern::isa::emulated_packus_epi16
#define _mm512_adds_epi16 qkern::isa::emulated_adds_epi16
#define _mm512_max_epi8 qkern::isa::emulated_max_epi8
#define _mm512_max_epu8 qkern::isa::emulated_max_epu8
#define _mm512_shuffle_epi8 qkern::isa::emulated_shuffle_epi8
#define _mm512_broadcast_i32x4(a) qkern::isa::emulated_repeat(a)
#define _mm512_broadcast_i64x4(a) qkern::isa::emulated_repeat(a)
#define _mm512_min_ps qkern::isa::emulated_min_ps
#define _mm512_cvtps_epi32 qkern::isa::emulated_cvtps_epi32
#define _mm512_permutexvar_epi32(order, a) qkern::isa::emulated_permute(order, a)
#undef _mm512_setr_epi32
#define _mm512_setr_epi32(...) qkern::isa::emulated_setr(__VA_ARGS__)
#define _mm512_castsi512_si256(a) qkern::isa::emulated_half(a, 0)
#undef _mm512_extracti64x4_epi64
#define _mm512_extracti64x4_epi64(a, half) qkern::isa::emulated_half(a, half)
#define _mm512_cvtepi8_epi16(a) qkern::isa::emulated_widen<std::int16_t, std::int8_t>(a)
#define _mm512_cvtepu8_epi16(a) qkern::isa::emulated_widen<std::int16_t, std::uint8_t>(a)
#define _mm512_set1_epi16(value) qkern::isa::emulated_set1<short, __m512i>(value)
#define _mm512_set1_epi8(value) qkern::isa::emulated_set1<char, __m512i>(value)
#define _mm512_cvtepi8_epi32(a) qkern::isa::emulated_widen<std::int32_t, std::int8_t>(a)
#define _mm512_cvtepu8_epi32(a) qkern::isa::emulated_widen<std::int32_t, std::uint8_t>(a)
#define _mm512_cvtepi16_epi32(a) qkern::isa::emulated_widen<std::int32_t, std::int16_t>(a)
#define _mm512_cvtepi32_epi8(a) qkern::isa::emulated_narrow(a)
#define _mm512_unpacklo_epi8(a, b) qkern::isa::emulated_unpack<std::uint8_t>(a, b, false)
#define _mm512_unpackhi_epi8(a, b) qkern::isa::emulated_unpack<std::uint8_t>(a, b, true)
#define _mm512_unpacklo_epi16(a, b) qkern::isa::emulated_unpack<std::uint16_t>(a, b, false)
#define _mm512_unpackhi_epi16(a, b) qkern::isa::emulated_unpack<std::uint16_t>(a, b, true)
#undef _mm512_shuffle_i32x4
#define _mm512_shuffle_i32x4(a, b, selector) qkern::isa::emulated_shuffle(a, b, selector)
#define _mm512_fmadd_ps(a, b, sum) qkern::isa::emulated_fmadd(a, b, sum)
#define _mm512_set1_epi32(value) qkern::isa::emulated_set1<int, __m512i>(value)
#define _mm512_set1_ps(value) qkern::isa::emulated_set1<float, __m512>(value)
#define _mm512_setzero_si512() (__m512i{})
#define _mm512_setzero_ps() (__m512{})
#define _mm512_xor_si512(a, b) ((a) ^ (b))
#define _mm512_loadu_si512(from) qkern::isa::emulated_load<__m512i>(from)
#define _mm512_loadu_ps(from) qkern::isa::emulated_load<__m512>(from)
#define _mm512_store_si512(to, value) (*static_cast<__m512i*>(static_cast<void*>(to)) = (value))
#define _mm512_storeu_si512(to, value) (*static_cast<__m512i_u*>(static_cast<void*>(to)) = (value))
#define _mm512_store_ps(to, value) (*static_cast<__m512*>(static_cast<void*>(to)) = (value))
