// Tier avx2. There is no exact u8 x s8 instruction here: vpmaddubsw saturates a pair of products at 32767. vpmaddwd on int16
// is exact for every value: the driver widens lhs once per block of rows, rhs is widened as it is loaded. Where the weights can't
// saturate it, vpmaddubsw multiplies twice as much at once, of lhs bytes read in place.
#include "isa/lookup_avx2.h"
#include "isa/make_kernel_table.h"
#include "isa/tile_avx2.h"

namespace qkern::isa {
namespace {

// 16 weights of a panel: as packed, and as codes of 4 bits.
struct Bytes128 {
  explicit Bytes128(const std::int8_t*) {}
  static constexpr Index stored(Index weights) { return weights; }
  [[gnu::always_inline]] __m128i load(const std::int8_t* from) const { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
};
class Codes128 {
 public:
  using Register = __m128i;
  explicit Codes128(const std::int8_t* levels) : table_(_mm_loadu_si128(reinterpret_cast<const __m128i*>(levels))) {}
  static constexpr Index stored(Index weights) { return weights / 2; }
  [[gnu::always_inline]] __m128i load(const std::int8_t* from) const {
    const __m128i both = _mm_castpd_si128(_mm_loaddup_pd(reinterpret_cast<const double*>(from)));
    return _mm_shuffle_epi8(table_, _mm_and_si128(_mm_srlv_epi64(both, _mm_set_epi64x(4, 0)), _mm_set1_epi8(15)));
  }

 private:
  __m128i table_;
};

// 6 x 16: 12 accumulators, 2 columns of rhs (16 bytes widened to 8 lanes x 2 depths), 1 broadcast of lhs, 1 product.
struct Int8Avx2 {
  using Simd = SimdAvx2;
  using Lhs = std::int16_t;
  using Rhs = std::int8_t;
  using Acc = std::int32_t;
  static constexpr int rows = 6, cols = 16, lanes = 8, depth = 2;
  static constexpr std::int32_t lhs_offset = 0;

  using Codes = Codes128;
  static constexpr int code_rows = 4, few_rows = 4;

  template <int Rows, int Vectors>
  static void run(const gemm::TileArgs<Int8Avx2>& args) {
    static constexpr std::int32_t zeros[cols] = {};
    run_from<Rows, Vectors>(args, zeros);
  }

  template <int Rows, int Vectors>
  static void run_codes(const gemm::TileArgs<Int8Avx2>& args) {
    static constexpr std::int32_t zeros[cols] = {};
    run_tile<Rows, Vectors, Codes>(args, zeros);
  }

  template <int Rows, int Vectors, class Weights>
  [[gnu::always_inline]] static void multiply_group(__m256i (&sum)[Rows][Vectors], const std::int16_t* const (&lhs)[Rows], Index group,
                                                    const Weights& weights, const std::int8_t* rhs) {
    __m256i b[Vectors];
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) b[v] = _mm256_cvtepi8_epi16(weights.load(rhs + Weights::stored(v * 16)));
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
      const __m256i a = _mm256_set1_epi32(load_i32(lhs[r] + group * 2));
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) sum[r][v] = _mm256_add_epi32(sum[r][v], _mm256_madd_epi16(a, b[v]));
    }
  }

  // Sums start at start[c].
  template <int Rows, int Vectors>
  [[gnu::always_inline]] static void run_from(const gemm::TileArgs<Int8Avx2>& args, const std::int32_t* start) {
    run_tile<Rows, Vectors, Bytes128>(args, start);
  }

  template <int Rows, int Vectors, class Weights>
  [[gnu::always_inline]] static void run_tile(const gemm::TileArgs<Int8Avx2>& args, const std::int32_t* start) {
    __m256i sum[Rows][Vectors];
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) sum[r][v] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(start) + v);
    }
    const Weights weights(args.levels);
    const std::int8_t* rhs = args.panel;
    for (Index tap = 0; tap < args.taps; ++tap) {
      const std::int16_t* lhs[Rows];
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r) lhs[r] = args.lhs_rows[r] + args.tap_offsets[tap];
      Index g = 0;
      if constexpr (Rows == 1) {
        // One row reads the weights as fast as memory gives them; the processor's own prefetching ends with each page.
        for (; g + 4 <= args.depth_groups; g += 4) {
          for (int v = 0; v < Vectors; ++v) _mm_prefetch(reinterpret_cast<const char*>(rhs) + 2048 + v * 64, _MM_HINT_T0);
#pragma GCC unroll 4
          for (int i = 0; i < 4; ++i, rhs += Weights::stored(Vectors * 16)) multiply_group(sum, lhs, g + i, weights, rhs);
        }
      }
      for (; g < args.depth_groups; ++g, rhs += Weights::stored(Vectors * 16)) multiply_group(sum, lhs, g, weights, rhs);
    }
    auto* tile = reinterpret_cast<__m256i*>(args.tile);
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) {
        asm("" : "+x"(sum[r][v]));  // else GCC keeps sums in memory where the tile is finished at once
        _mm256_store_si256(tile + r * Vectors + v, sum[r][v]);
      }
    }
  }
};

// Four products per int32, exact where rhs is saturation-safe (gemm/saturation.h): the pair sums of vpmaddubsw are then within
// 255 * 128 = 32640.
[[gnu::always_inline]] inline __m256i dot_accumulate(__m256i sum, __m256i lhs_u8, __m256i rhs_i8) {
  return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(lhs_u8, rhs_i8), _mm256_set1_epi16(1)));
}

// 6 x 16: 12 accumulators, 1 broadcast of lhs, 1 product, ones; rhs is an operand in memory where registers run out.
struct Int8SafeAvx2 {
  using Simd = SimdAvx2;
  using Lhs = std::uint8_t;
  using Rhs = std::int8_t;
  using Acc = std::int32_t;
  static constexpr int rows = 6, cols = 16, lanes = 8, depth = 4;
  static constexpr std::int32_t lhs_offset = 128;
  static constexpr bool never_flips = true;

  using Codes = Codes256;
  static constexpr int code_rows = 4, few_rows = 4;

  template <int Rows, int Vectors>
  static void run(const gemm::TileArgs<Int8SafeAvx2>& args) {
    static constexpr std::int32_t zeros[cols] = {};
    run_from<Rows, Vectors>(args, zeros);
  }

  template <int Rows, int Vectors>
  static void run_codes(const gemm::TileArgs<Int8SafeAvx2>& args) {
    static constexpr std::int32_t zeros[cols] = {};
    run_tile<Rows, Vectors, Codes>(args, zeros);
  }

  template <int Rows, int Vectors, class Weights>
  [[gnu::always_inline]] static void multiply_group(__m256i (&sum)[Rows][Vectors], const std::uint8_t* const (&lhs)[Rows], Index group,
                                                    const Weights& weights, const std::int8_t* rhs) {
    __m256i b[Vectors];
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) b[v] = weights.load(rhs + Weights::stored(v * 32));
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
      const __m256i a = _mm256_set1_epi32(load_i32(lhs[r] + group * 4));
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) sum[r][v] = dot_accumulate(sum[r][v], a, b[v]);
    }
  }

  // Sums start at start[c].
  template <int Rows, int Vectors>
  [[gnu::always_inline]] static void run_from(const gemm::TileArgs<Int8SafeAvx2>& args, const std::int32_t* start) {
    run_tile<Rows, Vectors, Bytes256>(args, start);
  }

  template <int Rows, int Vectors, class Weights>
  [[gnu::always_inline]] static void run_tile(const gemm::TileArgs<Int8SafeAvx2>& args, const std::int32_t* start) {
    __m256i sum[Rows][Vectors];
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) sum[r][v] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(start) + v);
    }
    const Weights weights(args.levels);
    const std::int8_t* rhs = args.panel;
    for (Index tap = 0; tap < args.taps; ++tap) {
      const std::uint8_t* lhs[Rows];
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r) lhs[r] = args.lhs_rows[r] + args.tap_offsets[tap];
      Index g = 0;
      if constexpr (Rows == 1) {
        // One row reads the weights as fast as memory gives them; the processor's own prefetching ends with each page.
        for (; g + 4 <= args.depth_groups; g += 4) {
          for (int v = 0; v < 2 * Vectors; ++v) _mm_prefetch(reinterpret_cast<const char*>(rhs) + 2048 + v * 64, _MM_HINT_T0);
#pragma GCC unroll 4
          for (int i = 0; i < 4; ++i, rhs += Weights::stored(Vectors * 32)) multiply_group(sum, lhs, g + i, weights, rhs);
        }
      }
      for (; g < args.depth_groups; ++g, rhs += Weights::stored(Vectors * 32)) multiply_group(sum, lhs, g, weights, rhs);
    }
    auto* tile = reinterpret_cast<__m256i*>(args.tile);
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) {
        asm("" : "+x"(sum[r][v]));  // else GCC keeps sums in memory where the tile is finished at once
        _mm256_store_si256(tile + r * Vectors + v, sum[r][v]);
      }
    }
  }
};

struct Int8SafeProductsAvx2 {
  using Vector = __m256i;
  static constexpr const char* instructions = "vpmaddubsw, vpmaddwd, vpaddd";
  static constexpr int products = 32;
  static Vector add(Vector sum, Vector a, Vector b) { return dot_accumulate(sum, a, b); }
};

struct Int8ProductsAvx2 : PairSumsAvx2 {
  using Vector = __m256i;
  static constexpr const char* instructions = "vpmaddwd + vpaddd ymm";
  static constexpr int products = 16;
};

struct Tier {
  static constexpr const char* name = "avx2";
  using Simd = SimdAvx2;
  using Int8Products = Int8ProductsAvx2;
  using Int8SafeProducts = Int8SafeProductsAvx2;
  using Float32Products = VectorProducts<SimdAvx2>;
  using Int8Kernel = Int8Avx2;
  using Int8SafeKernel = Int8SafeAvx2;
  using Float32Kernel = Float32Avx2;
  using Int16Kernel = Int16Tile256<PairSumsAvx2>;
  static constexpr conv::WinogradCosts winograd_costs{{165, 0.1, 0.31, 0.0164, 0, 0},
                                                      {{15, 2.0, 2.9, 0.0154, 0.0014, 0.005}, {4, 6.5, 11.3, 0.0135, 0.0057, 0.0145}},
                                                      {165, 0.05, 0.31, 0.0119, 0, 0}};
  static constexpr auto lookup = &lookup_avx2;
};

}  // namespace

const KernelTable& kernel_table_avx2() {
  static constexpr KernelTable table = make_kernel_table<Tier>();
  return table;
}

}  // namespace qkern::isa
