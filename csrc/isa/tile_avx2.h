// What the two 256-bit tiers share: their vectors and the FP32 tile.
#pragma once

#include <immintrin.h>

#include <type_traits>

#include "conv/pair_window.h"
#include "gemm/micro_kernel.h"

namespace qkern::isa {
namespace {

// PairSums::add(sum, a, b): two products of int16 added to each int32, modulo 2^32.
template <class PairSums>
struct Simd256 {
  static constexpr int lanes = 8;
  using I32 [[gnu::vector_size(32)]] = std::int32_t;
  using U32 [[gnu::vector_size(32)]] = std::uint32_t;
  using F32 [[gnu::vector_size(32)]] = float;

  static I32 widen(const std::int8_t* from) { return I32(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)))); }
  static I32 widen(const std::uint8_t* from) { return I32(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)))); }
  static I32 widen(const std::int16_t* from) { return I32(_mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)))); }
  static constexpr const char* multiply_add_instruction = "vfmadd231ps ymm";
  static F32 multiply_add(F32 a, F32 b, F32 sum) { return F32(_mm256_fmadd_ps(__m256(a), __m256(b), __m256(sum))); }
  static void store_bytes(I32 value, void* to) {
    // The low bytes of each half to its start, then the halves together.
    const __m256i low_bytes = _mm256_set1_epi32(0x0c080400);
    const __m256i halves = _mm256_shuffle_epi8(__m256i(value), low_bytes);
    const __m128i both = _mm_unpacklo_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
    _mm_storel_epi64(static_cast<__m128i*>(to), both);
  }
  // Depthwise by pairs of image rows (conv/depthwise_rows.h).
  static constexpr Index row_channels = 16, row_pixels = 4;
  template <class T>
  static void pair_rows(const T* row0, const T* row1, std::int16_t* out) {
    const __m128i x0 = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row0)), x1 = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row1));
    const __m128i bytes[2] = {_mm_unpacklo_epi8(x0, x1), _mm_unpackhi_epi8(x0, x1)};
    for (int i = 0; i < 2; ++i) {
      const __m256i words = std::is_signed_v<T> ? _mm256_cvtepi8_epi16(bytes[i]) : _mm256_cvtepu8_epi16(bytes[i]);
      _mm256_store_si256(reinterpret_cast<__m256i*>(out) + i, words);
    }
  }
  // 8 accumulators and 2 registers of weights; pixels are operands in memory. `Pairs`, `Columns`: of the window, 0 for any number.
  template <int Pairs, int Columns>
  [[gnu::always_inline]] static void dot_row_pairs(const std::int16_t* const* pairs, Index x, const conv::PairWindow& window,
                                                   const std::int32_t* start, std::int32_t* tile) {
    __m256i sum[row_pixels][2];
#pragma GCC unroll 4
    for (auto& one : sum) {
      for (int v = 0; v < 2; ++v) one[v] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(start) + v);
    }
    const auto* w = reinterpret_cast<const __m256i*>(window.weights);
    const Index pair_count = Pairs > 0 ? Pairs : window.pairs, columns = Columns > 0 ? Columns : window.columns;
#pragma GCC unroll 3
    for (Index i = 0; i < pair_count; ++i) {
      const std::int16_t* at = pairs[i] + x;
#pragma GCC unroll 5
      for (Index k = 0; k < columns; ++k, at += window.column_step, w += 2) {
        const __m256i w0 = _mm256_loadu_si256(w), w1 = _mm256_loadu_si256(w + 1);
#pragma GCC unroll 4
        for (Index p = 0; p < row_pixels; ++p) {
          const auto* pixel = reinterpret_cast<const __m256i*>(at + p * window.pixel_step);
          sum[p][0] = PairSums::add(sum[p][0], _mm256_load_si256(pixel), w0);
          sum[p][1] = PairSums::add(sum[p][1], _mm256_load_si256(pixel + 1), w1);
          asm("" : "+x"(sum[p][0]), "+x"(sum[p][1]));  // else GCC adds products up first, and spills them
        }
      }
    }
#pragma GCC unroll 4
    for (Index p = 0; p < row_pixels; ++p) {
      for (int v = 0; v < 2; ++v) _mm256_store_si256(reinterpret_cast<__m256i*>(tile) + 2 * p + v, sum[p][v]);
    }
  }
  // The bytes of two taps side by side, widened together: vpmaddwd then sums both taps of a channel.
  static I32 dot_pairs(const std::int8_t* x0, const std::int8_t* x1, const std::int16_t* w, I32 sum) {
    return I32(PairSums::add(__m256i(sum), _mm256_cvtepi8_epi16(interleave(x0, x1)), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w))));
  }
  static I32 dot_pairs(const std::uint8_t* x0, const std::uint8_t* x1, const std::int16_t* w, I32 sum) {
    return I32(PairSums::add(__m256i(sum), _mm256_cvtepu8_epi16(interleave(x0, x1)), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w))));
  }
  // Scaled sums of two rows of 16 columns -> their codes, of numbers that fit int32. All that packing and the saturating addition do to
  // those beyond int16 leaves them beyond `low` or `high`, where the last step ends.
  template <class Out>
  class Codes {
   public:
    Codes(std::int32_t zero_point, std::int32_t low, std::int32_t high)
        : zero_point_(_mm256_set1_epi16(static_cast<short>(zero_point))),
          low_(_mm256_set1_epi8(static_cast<char>(low))),
          high_(_mm256_set1_epi8(static_cast<char>(high))) {}

    [[gnu::always_inline]] void store(F32 a0, F32 b0, F32 a1, F32 b1, Out* to0, Out* to1) const {
      // Packing works within 128-bit lanes: dwords a0 b0 a1 b1 of the low halves, then of the high halves.
      const __m256i packed = pack(words(a0, b0), words(a1, b1));
      const __m256i rows = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to0), _mm256_castsi256_si128(rows));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to1), _mm256_extracti128_si256(rows, 1));
    }

   private:
    __m256i words(F32 a, F32 b) const {
      return _mm256_adds_epi16(_mm256_packs_epi32(_mm256_cvtps_epi32(__m256(a)), _mm256_cvtps_epi32(__m256(b))), zero_point_);
    }
    __m256i pack(__m256i a, __m256i b) const {
      if constexpr (std::is_signed_v<Out>) return _mm256_min_epi8(_mm256_max_epi8(_mm256_packs_epi16(a, b), low_), high_);
      else return _mm256_min_epu8(_mm256_max_epu8(_mm256_packus_epi16(a, b), low_), high_);
    }
    __m256i zero_point_, low_, high_;
  };

 private:
  static __m128i interleave(const void* x0, const void* x1) {
    return _mm_unpacklo_epi8(_mm_loadl_epi64(static_cast<const __m128i*>(x0)), _mm_loadl_epi64(static_cast<const __m128i*>(x1)));
  }
};

struct PairSumsAvx2 {
  static __m256i add(__m256i sum, __m256i a, __m256i b) { return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)); }
};
using SimdAvx2 = Simd256<PairSumsAvx2>;

// 6 x 16: 12 accumulators, 2 columns of rhs, 1 broadcast of lhs; 15 of 16 registers.
struct Float32Avx2 {
  using Simd = SimdAvx2;
  using Lhs = float;
  using Rhs = float;
  using Acc = float;
  static constexpr int rows = 6, cols = 16, lanes = 8, depth = 1;
  static constexpr std::int32_t lhs_offset = 0;
  static constexpr Index ahead = 2048;  // bytes

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
        _mm_prefetch(reinterpret_cast<const char*>(rhs) + ahead, _MM_HINT_T0);  // docs/decisions/0073-float-layers.md
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

// 32 weights of a panel: as packed, and as codes of 4 bits.
struct Bytes256 {
  explicit Bytes256(const std::int8_t*) {}
  static constexpr Index stored(Index weights) { return weights; }
  [[gnu::always_inline]] __m256i load(const std::int8_t* from) const { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
};
class Codes256 {
 public:
  using Register = __m256i;
  explicit Codes256(const std::int8_t* levels) : table_(_mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(levels)))) {}
  static constexpr Index stored(Index weights) { return weights / 2; }
  [[gnu::always_inline]] __m256i load(const std::int8_t* from) const {
    const __m256i both = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    const __m256i codes = _mm256_srlv_epi64(both, _mm256_setr_epi64x(0, 0, 4, 4));
    return _mm256_shuffle_epi8(table_, _mm256_and_si256(codes, _mm256_set1_epi8(15)));
  }

 private:
  __m256i table_;
};

// Products of int16 (conv/winograd.h), 6 x 16: 12 accumulators, 2 columns of rhs, 1 broadcast of lhs, 1 product.
template <class PairSums>
struct Int16Tile256 {
  using Simd = Simd256<PairSums>;
  static constexpr int rows = 6, cols = 16, lanes = 8, depth = 2;
  static constexpr Index place(Index col, Index j) { return col * depth + j; }

  template <int Rows, int Vectors>
  static void run(const std::int16_t* lhs, Index row_stride, const std::int16_t* panel, Index groups, std::int32_t* tile) {
    __m256i sum[Rows][Vectors] = {};
    if (groups > 0) multiply_group<true>(sum, lhs, row_stride, panel);  // few groups: neither zeros nor sums of the first
    for (Index g = 1; g < groups; ++g) multiply_group<false>(sum, lhs += depth, row_stride, panel += Vectors * 16);
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) _mm256_storeu_si256(reinterpret_cast<__m256i*>(tile) + r * Vectors + v, sum[r][v]);
    }
  }

 private:
  template <bool First, int Rows, int Vectors>
  [[gnu::always_inline]] static void multiply_group(__m256i (&sum)[Rows][Vectors], const std::int16_t* lhs, Index row_stride,
                                                    const std::int16_t* panel) {
    // Panels are read front to back; the processor's own prefetching ends with each page.
    if constexpr (Vectors == 2) _mm_prefetch(reinterpret_cast<const char*>(panel) + 2048, _MM_HINT_T0);
    __m256i b[Vectors];
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) b[v] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(panel) + v);
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
      const __m256i a = _mm256_set1_epi32(load_i32(lhs + r * row_stride));
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) sum[r][v] = First ? _mm256_madd_epi16(a, b[v]) : PairSums::add(sum[r][v], a, b[v]);
    }
  }
};

}  // namespace
}  // namespace qkern::isa
