// Tier avx512_vnni: vpdpbusd on 512 bits, u8 x s8, four products summed into int32 without saturation. Signed lhs is moved to
// uint8 by one xor in the register. Where only two ports take 512 bits (Intel), it takes a fifth of what the dot products do, so that
// unsigned lhs does without.
#include <immintrin.h>

#include <type_traits>

#include "conv/pair_window.h"
#include "isa/lookup_avx2.h"
#include "isa/make_kernel_table.h"

namespace qkern::isa {
namespace {

inline int load_i32(const void* from) {
  int value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

struct SimdAvx512 {
  static constexpr int lanes = 16;
  using I32 [[gnu::vector_size(64)]] = std::int32_t;
  using U32 [[gnu::vector_size(64)]] = std::uint32_t;
  using F32 [[gnu::vector_size(64)]] = float;

  static I32 widen(const std::int8_t* from) { return I32(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)))); }
  static I32 widen(const std::uint8_t* from) { return I32(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)))); }
  static I32 widen(const std::int16_t* from) { return I32(_mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)))); }
  static constexpr const char* multiply_add_instruction = "vfmadd231ps zmm";
  static F32 multiply_add(F32 a, F32 b, F32 sum) { return F32(_mm512_fmadd_ps(__m512(a), __m512(b), __m512(sum))); }
  static void store_bytes(I32 value, void* to) { _mm_storeu_si128(static_cast<__m128i*>(to), _mm512_cvtepi32_epi8(__m512i(value))); }
  // Scaled sums of two rows of 32 columns -> their codes; as SimdAvx2::Codes, which says why it is exact.
  template <class Out>
  class Codes {
   public:
    Codes(std::int32_t zero_point, std::int32_t low, std::int32_t high)
        : zero_point_(_mm512_set1_epi16(static_cast<short>(zero_point))),
          low_(_mm512_set1_epi8(static_cast<char>(low))),
          high_(_mm512_set1_epi8(static_cast<char>(high))) {}

    [[gnu::always_inline]] void store(F32 a0, F32 b0, F32 a1, F32 b1, Out* to0, Out* to1) const {
      // Packing works within 128-bit lanes: dwords a0 b0 a1 b1 of each.
      const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
      const __m512i rows = _mm512_permutexvar_epi32(order, pack(words(a0, b0), words(a1, b1)));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to0), _mm512_castsi512_si256(rows));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to1), _mm512_extracti64x4_epi64(rows, 1));
    }

   private:
    __m512i words(F32 a, F32 b) const {
      return _mm512_adds_epi16(_mm512_packs_epi32(_mm512_cvtps_epi32(__m512(a)), _mm512_cvtps_epi32(__m512(b))), zero_point_);
    }
    __m512i pack(__m512i a, __m512i b) const {
      if constexpr (std::is_signed_v<Out>) return _mm512_min_epi8(_mm512_max_epi8(_mm512_packs_epi16(a, b), low_), high_);
      else return _mm512_min_epu8(_mm512_max_epu8(_mm512_packus_epi16(a, b), low_), high_);
    }
    __m512i zero_point_, low_, high_;
  };
  // Depthwise by pairs of image rows (conv/depthwise_rows.h): vpdpwssd multiplies and adds a pair at once.
  static constexpr Index row_channels = 32, row_pixels = 4;
  template <class T>
  static void pair_rows(const T* row0, const T* row1, std::int16_t* out) {
    // Unpacking works within 128-bit lanes: channels 0-7 and 16-23 to the first halves before it.
    const __m256i x0 = _mm256_permute4x64_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row0)), 0xd8);
    const __m256i x1 = _mm256_permute4x64_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row1)), 0xd8);
    const __m256i bytes[2] = {_mm256_unpacklo_epi8(x0, x1), _mm256_unpackhi_epi8(x0, x1)};
    for (int i = 0; i < 2; ++i) {
      const __m512i words = std::is_signed_v<T> ? _mm512_cvtepi8_epi16(bytes[i]) : _mm512_cvtepu8_epi16(bytes[i]);
      _mm512_store_si512(out + i * 32, words);
    }
  }
  // 8 accumulators and 2 registers of weights; pixels are operands in memory. `Pairs`, `Columns`: of the window, 0 for any number.
  template <int Pairs, int Columns>
  [[gnu::always_inline]] static void dot_row_pairs(const std::int16_t* const* pairs, Index x, const conv::PairWindow& window,
                                                   const std::int32_t* start, std::int32_t* tile) {
    __m512i sum[row_pixels][2];
#pragma GCC unroll 4
    for (auto& one : sum) {
      for (int v = 0; v < 2; ++v) one[v] = _mm512_loadu_si512(start + v * 16);
    }
    const std::int16_t* w = window.weights;
    const Index pair_count = Pairs > 0 ? Pairs : window.pairs, columns = Columns > 0 ? Columns : window.columns;
#pragma GCC unroll 3
    for (Index i = 0; i < pair_count; ++i) {
      const std::int16_t* at = pairs[i] + x;
#pragma GCC unroll 5
      for (Index k = 0; k < columns; ++k, at += window.column_step, w += 64) {
        const __m512i w0 = _mm512_loadu_si512(w), w1 = _mm512_loadu_si512(w + 32);
#pragma GCC unroll 4
        for (Index p = 0; p < row_pixels; ++p) {
          const std::int16_t* pixel = at + p * window.pixel_step;
          sum[p][0] = _mm512_dpwssd_epi32(sum[p][0], _mm512_loadu_si512(pixel), w0);
          sum[p][1] = _mm512_dpwssd_epi32(sum[p][1], _mm512_loadu_si512(pixel + 32), w1);
        }
      }
    }
#pragma GCC unroll 4
    for (Index p = 0; p < row_pixels; ++p) {
      for (int v = 0; v < 2; ++v) _mm512_store_si512(tile + 32 * p + v * 16, sum[p][v]);
    }
  }
};

// 64 weights of a panel: as packed, and as codes of 4 bits.
struct BytesAvx512 {
  explicit BytesAvx512(const std::int8_t*) {}
  static constexpr Index stored(Index weights) { return weights; }
  [[gnu::always_inline]] __m512i load(const std::int8_t* from) const { return _mm512_loadu_si512(from); }
};
class CodesAvx512 {
 public:
  using Register = __m512i;
  explicit CodesAvx512(const std::int8_t* levels) : table_(_mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(levels)))) {}
  static constexpr Index stored(Index weights) { return weights / 2; }
  [[gnu::always_inline]] __m512i load(const std::int8_t* from) const {
    _mm_prefetch(reinterpret_cast<const char*>(from) + 4096, _MM_HINT_T0);
    const __m512i both = _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    return _mm512_shuffle_epi8(table_, __m512i((Words(both) >> shift) & mask));
  }

 private:
  using Words [[gnu::vector_size(64)]] = std::uint64_t;
  static constexpr Words shift{0, 0, 0, 0, 4, 4, 4, 4}, mask = Words{} + 0x0f0f0f0f0f0f0f0f;
  __m512i table_;
};

// 6 x 64: 24 accumulators, 4 columns of rhs, 1 broadcast of lhs, 1 flip mask; 30 of 32 registers.
struct Int8Avx512Vnni {
  using Simd = SimdAvx512;
  using Lhs = std::uint8_t;
  using Rhs = std::int8_t;
  using Acc = std::int32_t;
  static constexpr int rows = 6, cols = 64, lanes = 16, depth = 4;
  static constexpr std::int32_t lhs_offset = 128;
  static constexpr bool flip_costs = true;
  using Codes = CodesAvx512;
  static constexpr int code_rows = 4, few_rows = 8;

  template <int Rows, int Vectors>
  static void run(const gemm::TileArgs<Int8Avx512Vnni>& args) {
    static constexpr std::int32_t zeros[cols] = {};
    run_from<Rows, Vectors>(args, zeros);
  }

  template <int Rows, int Vectors>
  static void run_codes(const gemm::TileArgs<Int8Avx512Vnni>& args) {
    static constexpr std::int32_t zeros[cols] = {};
    run_tile<Rows, Vectors, true, Codes>(args, zeros);
  }

  // Sums start at start[c].
  template <int Rows, int Vectors>
  [[gnu::always_inline]] static void run_from(const gemm::TileArgs<Int8Avx512Vnni>& args, const std::int32_t* start) {
    if (args.lhs_flip == 0) run_tile<Rows, Vectors, false, BytesAvx512>(args, start);
    else run_tile<Rows, Vectors, true, BytesAvx512>(args, start);
  }

  template <int Rows, int Vectors, bool flips, class Weights>
  [[gnu::always_inline]] static void run_tile(const gemm::TileArgs<Int8Avx512Vnni>& args, const std::int32_t* start) {
    // Two chains of sums for a narrow tile: one of six would wait for the instruction's latency.
    constexpr int chains = Vectors == 1 ? 2 : 1;
    __m512i sum[chains][Rows][Vectors];
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        sum[0][r][v] = _mm512_loadu_si512(start + v * 16);
        if constexpr (chains == 2) sum[1][r][v] = _mm512_setzero_si512();
      }
    }
    const __m512i flip = _mm512_set1_epi32(static_cast<int>(args.lhs_flip));
    const Weights weights(args.levels);
    const std::int8_t* rhs = args.panel;
    for (Index tap = 0; tap < args.taps; ++tap) {
      const std::uint8_t* lhs[Rows];
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r) lhs[r] = args.lhs_rows[r] + args.tap_offsets[tap];
      const auto add_group = [&](Index g, const std::int8_t* panel, __m512i(&to)[Rows][Vectors]) __attribute__((always_inline)) {
        __m512i b[Vectors];
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) b[v] = weights.load(panel + Weights::stored(v * 64));
#pragma GCC unroll 6
        for (int r = 0; r < Rows; ++r) {
          __m512i a = _mm512_set1_epi32(load_i32(lhs[r] + g * 4));
          if constexpr (flips) a = _mm512_xor_si512(a, flip);
#pragma GCC unroll 4
          for (int v = 0; v < Vectors; ++v) to[r][v] = _mm512_dpbusd_epi32(to[r][v], a, b[v]);
        }
      };
      Index g = 0;
      if constexpr (chains == 2) {
        for (; g + 2 <= args.depth_groups; g += 2, rhs += Weights::stored(2 * Vectors * 64)) {
          add_group(g, rhs, sum[0]);
          add_group(g + 1, rhs + Weights::stored(Vectors * 64), sum[1]);
        }
      }
      for (; g < args.depth_groups; ++g, rhs += Weights::stored(Vectors * 64)) add_group(g, rhs, sum[0]);
    }
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        if constexpr (chains == 2) sum[0][r][v] = __m512i(Simd::U32(sum[0][r][v]) + Simd::U32(sum[1][r][v]));
#ifdef __AVX512F__                     // emulation has no such registers
        asm("" : "+v"(sum[0][r][v]));  // else GCC keeps sums in memory where the tile is finished at once
#endif
        _mm512_store_si512(args.tile + (r * Vectors + v) * 16, sum[0][r][v]);
      }
    }
  }
};

// 10 x 32: 20 accumulators, 2 columns of rhs, 1 broadcast; the addresses of 10 rows are what the general registers hold. A single vector of
// columns still has more chains of sums than the latency of vfmadd asks for, and a panel of 32 columns stays in L1 to a depth of 300. Deeper
// ones come from L2, or the first time from further away: asked for ahead, because the processor's own prefetching ends with each page
// (docs/decisions/0073-float-layers.md).
struct Float32Avx512 {
  using Simd = SimdAvx512;
  using Lhs = float;
  using Rhs = float;
  using Acc = float;
  static constexpr int rows = 10, cols = 32, lanes = 16, depth = 1;
  static constexpr std::int32_t lhs_offset = 0;
  static constexpr Index ahead = 4096;  // bytes

  template <int Rows, int Vectors>
  static void run(const gemm::TileArgs<Float32Avx512>& args) {
    __m512 sum[Rows][Vectors];
#pragma GCC unroll 10
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) sum[r][v] = _mm512_setzero_ps();
    }
    const float* rhs = args.panel;
    for (Index tap = 0; tap < args.taps; ++tap) {
      const float* lhs[Rows];
#pragma GCC unroll 10
      for (int r = 0; r < Rows; ++r) lhs[r] = args.lhs_rows[r] + args.tap_offsets[tap];
      for (Index k = 0; k < args.depth_groups; ++k, rhs += Vectors * 16) {
        __m512 b[Vectors];
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) {
          b[v] = _mm512_loadu_ps(rhs + v * 16);
          _mm_prefetch(reinterpret_cast<const char*>(rhs + v * 16) + ahead, _MM_HINT_T0);
        }
#pragma GCC unroll 10
        for (int r = 0; r < Rows; ++r) {
          const __m512 a = _mm512_set1_ps(lhs[r][k]);
#pragma GCC unroll 2
          for (int v = 0; v < Vectors; ++v) sum[r][v] = _mm512_fmadd_ps(a, b[v], sum[r][v]);
        }
      }
    }
#pragma GCC unroll 10
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) _mm512_store_ps(args.tile + (r * Vectors + v) * 16, sum[r][v]);
    }
  }
};

// Products of int16 (conv/winograd.h), 12 x 32: 24 accumulators, 2 columns of rhs; lhs is broadcast from memory by the product.
struct Int16Avx512Vnni {
  using Simd = SimdAvx512;
  static constexpr int rows = 12, cols = 32, lanes = 16, depth = 2;
  static constexpr Index place(Index col, Index j) { return col * depth + j; }

  template <int Rows, int Vectors>
  static void run(const std::int16_t* lhs, Index row_stride, const std::int16_t* panel, Index groups, std::int32_t* tile) {
    __m512i sum[Rows][Vectors];
#pragma GCC unroll 12
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) sum[r][v] = _mm512_setzero_si512();
    }
    for (Index g = 0; g < groups; ++g, lhs += depth, panel += Vectors * 32) {
      // Panels are read front to back; the processor's own prefetching ends with each page.
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) _mm_prefetch(reinterpret_cast<const char*>(panel + v * 32) + 2048, _MM_HINT_T0);
      __m512i b[Vectors];
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) b[v] = _mm512_loadu_si512(panel + v * 32);
#pragma GCC unroll 12
      for (int r = 0; r < Rows; ++r) {
        const __m512i a = _mm512_set1_epi32(load_i32(lhs + r * row_stride));
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) sum[r][v] = _mm512_dpwssd_epi32(sum[r][v], a, b[v]);
      }
    }
#pragma GCC unroll 12
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) _mm512_storeu_si512(tile + (r * Vectors + v) * 16, sum[r][v]);
    }
  }
};

// 64 channels: the bytes of four taps are interleaved until each 32-bit lane holds four taps of one channel. Unpacking works
// within 128-bit lanes, so sum j holds channels 4j..4j+3 of each 16; a transpose of lanes brings them back into order.
struct DepthwiseAvx512Vnni {
  static constexpr Index channels = 64;
  static constexpr std::int32_t lhs_offset = 128;

  static void run(const std::uint8_t* row, const Index* tap_offsets, Index tap_groups, const std::int8_t* weights, std::uint32_t flip,
                  std::int32_t* tile) {
    const __m512i flips = _mm512_set1_epi32(static_cast<int>(flip));
    __m512i sum[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
    for (Index g = 0; g < tap_groups; ++g, tap_offsets += 4, weights += channels * 4) {
      __m512i x[4];
#pragma GCC unroll 4
      for (int t = 0; t < 4; ++t) x[t] = _mm512_xor_si512(_mm512_loadu_si512(row + tap_offsets[t]), flips);
      const __m512i low01 = _mm512_unpacklo_epi8(x[0], x[1]), high01 = _mm512_unpackhi_epi8(x[0], x[1]);
      const __m512i low23 = _mm512_unpacklo_epi8(x[2], x[3]), high23 = _mm512_unpackhi_epi8(x[2], x[3]);
      sum[0] = _mm512_dpbusd_epi32(sum[0], _mm512_unpacklo_epi16(low01, low23), _mm512_loadu_si512(weights));
      sum[1] = _mm512_dpbusd_epi32(sum[1], _mm512_unpackhi_epi16(low01, low23), _mm512_loadu_si512(weights + 64));
      sum[2] = _mm512_dpbusd_epi32(sum[2], _mm512_unpacklo_epi16(high01, high23), _mm512_loadu_si512(weights + 128));
      sum[3] = _mm512_dpbusd_epi32(sum[3], _mm512_unpackhi_epi16(high01, high23), _mm512_loadu_si512(weights + 192));
    }
    const __m512i low0 = _mm512_shuffle_i32x4(sum[0], sum[1], 0x44), low1 = _mm512_shuffle_i32x4(sum[2], sum[3], 0x44);
    const __m512i high0 = _mm512_shuffle_i32x4(sum[0], sum[1], 0xee), high1 = _mm512_shuffle_i32x4(sum[2], sum[3], 0xee);
    _mm512_store_si512(tile, _mm512_shuffle_i32x4(low0, low1, 0x88));
    _mm512_store_si512(tile + 16, _mm512_shuffle_i32x4(low0, low1, 0xdd));
    _mm512_store_si512(tile + 32, _mm512_shuffle_i32x4(high0, high1, 0x88));
    _mm512_store_si512(tile + 48, _mm512_shuffle_i32x4(high0, high1, 0xdd));
  }
};

struct Int8ProductsAvx512Vnni {
  using Vector = __m512i;
  static constexpr const char* instructions = "vpdpbusd zmm";
  static constexpr int products = 64;
  static Vector add(Vector sum, Vector a, Vector b) { return _mm512_dpbusd_epi32(sum, a, b); }
};

struct Tier {
  static constexpr const char* name = "avx512_vnni";
  using Simd = SimdAvx512;
  using Int8Products = Int8ProductsAvx512Vnni;
  using Float32Products = VectorProducts<SimdAvx512>;
  using Int8Kernel = Int8Avx512Vnni;
  using Float32Kernel = Float32Avx512;
  using Int16Kernel = Int16Avx512Vnni;
  static constexpr conv::WinogradCosts winograd_costs{{210, 0.31, 0.14, 0.0027, 0, 0},
                                                      {{0, 1.7, 2.1, 0.0052, 0.0055, 0.0218}, {0, 5.2, 5.3, 0.0055, 0.0084, 0.0175}}};
  using DepthwiseTile = DepthwiseAvx512Vnni;
  static constexpr auto lookup = &lookup_avx2;
};

}  // namespace

const KernelTable& kernel_table_avx512_vnni() {
  static constexpr KernelTable table = make_kernel_table<Tier>();
  return table;
}

}  // namespace qkern::isa
