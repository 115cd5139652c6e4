// Tier avx_vnni: vpdpbusd on 256 bits, u8 x s8, four products summed into int32 without saturation. Signed lhs is moved to
// uint8 by one xor in the register.
#include "isa/lookup_avx2.h"
#include "isa/make_kernel_table.h"
#include "isa/tile_avx2.h"

namespace qkern::isa {
namespace {

// The same instruction has a second encoding on AVX-512 processors, which lets those test this tier (CMake option
// QKERN_AVX_VNNI_EVEX).
inline __m256i dot_accumulate(__m256i sum, __m256i lhs_u8, __m256i rhs_i8) {
#ifdef QKERN_AVX_VNNI_EVEX
  return _mm256_dpbusd_epi32(sum, lhs_u8, rhs_i8);
#else
  return _mm256_dpbusd_avx_epi32(sum, lhs_u8, rhs_i8);
#endif
}

// vpdpwssd: what vpmaddwd and vpaddd do in two.
struct PairSumsAvxVnni {
  static __m256i add(__m256i sum, __m256i a, __m256i b) {
#ifdef QKERN_AVX_VNNI_EVEX
    return _mm256_dpwssd_epi32(sum, a, b);
#else
    return _mm256_dpwssd_avx_epi32(sum, a, b);
#endif
  }
};
using SimdAvxVnni = Simd256<PairSumsAvxVnni>;

// 6 x 16: 12 accumulators, 2 columns of rhs, 1 broadcast of lhs, 1 flip mask: all 16 registers.
struct Int8AvxVnni {
  using Simd = SimdAvxVnni;
  using Lhs = std::uint8_t;
  using Rhs = std::int8_t;
  using Acc = std::int32_t;
  static constexpr int rows = 6, cols = 16, lanes = 8, depth = 4;
  static constexpr std::int32_t lhs_offset = 128;
  using Codes = Codes256;
  static constexpr int code_rows = 4, few_rows = 4;

  template <int Rows, int Vectors>
  static void run(const gemm::TileArgs<Int8AvxVnni>& args) {
    static constexpr std::int32_t zeros[cols] = {};
    run_from<Rows, Vectors>(args, zeros);
  }

  template <int Rows, int Vectors>
  static void run_codes(const gemm::TileArgs<Int8AvxVnni>& args) {
    static constexpr std::int32_t zeros[cols] = {};
    run_tile<Rows, Vectors, Codes>(args, zeros);
  }

  // Sums start at start[c].
  template <int Rows, int Vectors>
  [[gnu::always_inline]] static void run_from(const gemm::TileArgs<Int8AvxVnni>& args, const std::int32_t* start) {
    run_tile<Rows, Vectors, Bytes256>(args, start);
  }

  template <int Rows, int Vectors, class Weights>
  [[gnu::always_inline]] static void run_tile(const gemm::TileArgs<Int8AvxVnni>& args, const std::int32_t* start) {
    // Few rows have several chains of sums each: one would wait for the instruction's latency.
    constexpr int chains = Rows == 1 ? 4 : Rows == 2 ? 2 : 1;
    __m256i sum[chains][Rows][Vectors];
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) {
        sum[0][r][v] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(start) + v);
#pragma GCC unroll 4
        for (int i = 1; i < chains; ++i) sum[i][r][v] = _mm256_setzero_si256();
      }
    }
    const __m256i flip = _mm256_set1_epi32(static_cast<int>(args.lhs_flip));
    const Weights weights(args.levels);
    const std::int8_t* rhs = args.panel;
    for (Index tap = 0; tap < args.taps; ++tap) {
      const std::uint8_t* lhs[Rows];
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r) lhs[r] = args.lhs_rows[r] + args.tap_offsets[tap];
      const auto add_group = [&](Index g, const std::int8_t* panel, __m256i(&to)[Rows][Vectors]) __attribute__((always_inline)) {
        __m256i b[Vectors];
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) b[v] = weights.load(panel + Weights::stored(v * 32));
#pragma GCC unroll 6
        for (int r = 0; r < Rows; ++r) {
          const __m256i a = _mm256_xor_si256(_mm256_set1_epi32(load_i32(lhs[r] + g * 4)), flip);
#pragma GCC unroll 2
          for (int v = 0; v < Vectors; ++v) to[r][v] = dot_accumulate(to[r][v], a, b[v]);
        }
      };
      Index g = 0;
      if constexpr (chains > 1) {
        // One or two rows read the weights as fast as memory gives them; the processor's own prefetching ends with each page.
        for (; g + chains <= args.depth_groups; g += chains) {
#pragma GCC unroll 4
          for (int i = 0; i < chains; ++i, rhs += Weights::stored(Vectors * 32)) {
            _mm_prefetch(reinterpret_cast<const char*>(rhs) + 2048, _MM_HINT_T0);
            add_group(g + i, rhs, sum[i]);
          }
        }
      }
      for (; g < args.depth_groups; ++g, rhs += Weights::stored(Vectors * 32)) add_group(g, rhs, sum[0]);
    }
    auto* tile = reinterpret_cast<__m256i*>(args.tile);
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) {
#pragma GCC unroll 4
        for (int i = 1; i < chains; ++i) sum[0][r][v] = _mm256_add_epi32(sum[0][r][v], sum[i][r][v]);
        asm("" : "+x"(sum[0][r][v]));  // else GCC keeps sums in memory where the tile is finished at once
        _mm256_store_si256(tile + r * Vectors + v, sum[0][r][v]);
      }
    }
  }
};

struct Int8ProductsAvxVnni {
  using Vector = __m256i;
  static constexpr const char* instructions = "vpdpbusd ymm";
  static constexpr int products = 32;
  static Vector add(Vector sum, Vector a, Vector b) { return dot_accumulate(sum, a, b); }
};

struct Tier {
  static constexpr const char* name = "avx_vnni";
  using Simd = SimdAvxVnni;
  using Int8Products = Int8ProductsAvxVnni;
  using Float32Products = VectorProducts<SimdAvxVnni>;
  using Int8Kernel = Int8AvxVnni;
  using Float32Kernel = Float32Avx2;
  using Int16Kernel = Int16Tile256<PairSumsAvxVnni>;
  static constexpr conv::WinogradCosts winograd_costs{{245, 0.08, 0.23, 0.0064, 0, 0},
                                                      {{0, 1.9, 2.8, 0.0118, 0.0038, 0.019}, {0, 6.0, 10.2, 0.0106, 0.008, 0.0218}}};
  static constexpr auto lookup = &lookup_avx2;
};

}  // namespace

const KernelTable& kernel_table_avx_vnni() {
  static constexpr KernelTable table = make_kernel_table<Tier>();
  return table;
}

}  // namespace qkern::isa
