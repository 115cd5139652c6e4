// What the two 256-bit tiers share: their vectors and the FP32 tile.
#pragma once

#include <immintrin.h>

#include <type_traits>

#include "gemm/micro_kernel.h"

namespace qkern::isa {
namespace {

struct SimdAvx2 {
  static constexpr int lanes = 8;
  using I32 [[gnu::vector_size(32)]] = std::int32_t;
  using U32 [[gnu::vector_size(32)]] = std::uint32_t;
  using F32 [[gnu::vector_size(32)]] = float;

  static I32 widen(const std::int8_t* from) { return I32(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)))); }
  static I32 widen(const std::uint8_t* from) { return I32(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)))); }
  static I32 widen(const std::int16_t* from) { return I32(_mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)))); }
  static F32 multiply_add(F32 a, F32 b, F32 sum) { return F32(_mm256_fmadd_ps(__m256(a), __m256(b), __m256(sum))); }
  static void store_bytes(I32 value, void* to) {
    // The low bytes of each half to its start, then the halves together.
    const __m256i low_bytes = _mm256_set1_epi32(0x0c080400);
    const __m256i halves = _mm256_shuffle_epi8(__m256i(value), low_bytes);
    const __m128i both = _mm_unpacklo_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
    _mm_storel_epi64(static_cast<__m128i*>(to), both);
  }
  // 32 channels, two taps at a time: unpacking works within 128-bit lanes, so that sum 0 holds channels 0-3 and 16-19, sum 1 4-7 and
  // 20-23, sum 2 8-11 and 24-27, sum 3 12-15 and 28-31. Weights are arranged alike, and the sums brought into order at the end.
  static constexpr int interleaved = 32;
  static void arrange_pairs(const std::int16_t* weights, std::int16_t* arranged) {
    const auto* w = reinterpret_cast<const __m256i*>(weights);
    store_halves(_mm256_loadu_si256(w), _mm256_loadu_si256(w + 2), arranged);
    store_halves(_mm256_loadu_si256(w + 1), _mm256_loadu_si256(w + 3), arranged + 32);
  }
  template <int Pairs, class T>
  static void dot_interleaved(const T* row, const Index* tap_offsets, const std::int16_t* arranged, std::int32_t* out) {
    const __m256i zero = _mm256_setzero_si256();
    __m256i sum[4] = {zero, zero, zero, zero};
#pragma GCC unroll 16
    for (int p = 0; p < Pairs; ++p) {
      const __m256i x0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + tap_offsets[2 * p]));
      const __m256i x1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + tap_offsets[2 * p + 1]));
      const __m256i low = _mm256_unpacklo_epi8(x0, x1), high = _mm256_unpackhi_epi8(x0, x1);
      const __m256i words[4] = {widen_low<T>(low), widen_high<T>(low), widen_low<T>(high), widen_high<T>(high)};
      const auto* w = reinterpret_cast<const __m256i*>(arranged) + p * 4;
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(words[i], _mm256_load_si256(w + i)));
    }
    if constexpr (std::is_signed_v<T>) {
#pragma GCC unroll 4
      for (__m256i& one : sum) one = _mm256_srai_epi32(one, 8);
    }
    store_halves(sum[0], sum[1], out, out + 16);
    store_halves(sum[2], sum[3], out + 8, out + 24);
  }
  // The bytes of two taps side by side, widened together: vpmaddwd then sums both taps of a channel.
  static I32 dot_pairs(const std::int8_t* x0, const std::int8_t* x1, const std::int16_t* w, I32 sum) {
    return sum + I32(_mm256_madd_epi16(_mm256_cvtepi8_epi16(interleave(x0, x1)), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w))));
  }
  static I32 dot_pairs(const std::uint8_t* x0, const std::uint8_t* x1, const std::int16_t* w, I32 sum) {
    return sum + I32(_mm256_madd_epi16(_mm256_cvtepu8_epi16(interleave(x0, x1)), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w))));
  }
  // Packing saturates, but codes are within the range of their type. It works within 128-bit lanes: [a0 b0 | a1 b1] of four each.
  static void store_bytes_of_two(I32 a, I32 b, std::int8_t* to) {
    store_dwords_0213(_mm256_packs_epi32(__m256i(a), __m256i(b)), to, std::true_type{});
  }
  static void store_bytes_of_two(I32 a, I32 b, std::uint8_t* to) {
    store_dwords_0213(_mm256_packs_epi32(__m256i(a), __m256i(b)), to, std::false_type{});
  }

 private:
  // uint8 as it is; int8 in the high byte, 256 times its value: the sums of up to 26 taps stay far within int32, and lose the
  // factor at the end.
  template <class T>
  static __m256i widen_low(__m256i bytes) {
    const __m256i zero = _mm256_setzero_si256();
    return std::is_signed_v<T> ? _mm256_unpacklo_epi8(zero, bytes) : _mm256_unpacklo_epi8(bytes, zero);
  }
  template <class T>
  static __m256i widen_high(__m256i bytes) {
    const __m256i zero = _mm256_setzero_si256();
    return std::is_signed_v<T> ? _mm256_unpackhi_epi8(zero, bytes) : _mm256_unpackhi_epi8(bytes, zero);
  }
  // The low halves of a and b, and their high halves.
  static void store_halves(__m256i a, __m256i b, void* low, void* high) {
    _mm256_store_si256(static_cast<__m256i*>(low), _mm256_permute2x128_si256(a, b, 0x20));
    _mm256_store_si256(static_cast<__m256i*>(high), _mm256_permute2x128_si256(a, b, 0x31));
  }
  static void store_halves(__m256i a, __m256i b, std::int16_t* to) { store_halves(a, b, to, to + 16); }
  static __m128i interleave(const void* x0, const void* x1) {
    return _mm_unpacklo_epi8(_mm_loadl_epi64(static_cast<const __m128i*>(x0)), _mm_loadl_epi64(static_cast<const __m128i*>(x1)));
  }
  template <class Signed>
  static void store_dwords_0213(__m256i words, void* to, Signed) {
    const __m128i low = _mm256_castsi256_si128(words), high = _mm256_extracti128_si256(words, 1);
    const __m128i bytes = Signed::value ? _mm_packs_epi16(low, high) : _mm_packus_epi16(low, high);
    _mm_storeu_si128(static_cast<__m128i*>(to), _mm_shuffle_epi32(bytes, 0xd8));
  }
};

// 6 x 16: 12 accumulators, 2 columns of rhs, 1 broadcast of lhs; 15 of 16 registers.
struct Float32Avx2 {
  using Simd = SimdAvx2;
  using Lhs = float;
  using Rhs = float;
  using Acc = float;
  static constexpr int rows = 6, cols = 16, lanes = 8, depth = 1;
  static constexpr std::int32_t lhs_offset = 0;

  template <int Rows, int Vectors>
  static void run(const gemm::TileArgs<Float32Avx2>& args) {
    __m256 sum[Rows][Vectors];
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) sum[r][v] = _mm256_setzero_ps();
    }
    const float* rhs = args.panel;
    for (Index tap = 0; tap < args.taps; ++tap) {
      const float* lhs[Rows];
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r) lhs[r] = args.lhs_rows[r] + args.tap_offsets[tap];
      for (Index k = 0; k < args.depth_groups; ++k, rhs += Vectors * 8) {
        __m256 b[Vectors];
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) b[v] = _mm256_loadu_ps(rhs + v * 8);
#pragma GCC unroll 6
        for (int r = 0; r < Rows; ++r) {
          const __m256 a = _mm256_broadcast_ss(lhs[r] + k);
#pragma GCC unroll 2
          for (int v = 0; v < Vectors; ++v) sum[r][v] = _mm256_fmadd_ps(a, b[v], sum[r][v]);
        }
      }
    }
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) _mm256_store_ps(args.tile + (r * Vectors + v) * 8, sum[r][v]);
    }
  }
};

// lhs bytes at any address, four at a time.
inline int load_i32(const void* from) {
  int value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

}  // namespace
}  // namespace qkern::isa
