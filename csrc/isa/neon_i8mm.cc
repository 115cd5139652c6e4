// Tier neon_i8mm: smmla and usmmla, the product of two rows of lhs with two columns of rhs, eight depths each. Signed and
// unsigned lhs have an instruction each.
#include "isa/make_kernel_table.h"
#include "isa/tile_dotprod.h"

namespace qkern::isa {
namespace {

// Eight depths of two rows, one row in each half.
[[gnu::always_inline]] inline uint8x16_t first_depths(uint8x16_t a, uint8x16_t b) {
  return vreinterpretq_u8_u64(vzip1q_u64(vreinterpretq_u64_u8(a), vreinterpretq_u64_u8(b)));
}
[[gnu::always_inline]] inline uint8x16_t second_depths(uint8x16_t a, uint8x16_t b) {
  return vreinterpretq_u8_u64(vzip2q_u64(vreinterpretq_u64_u8(a), vreinterpretq_u64_u8(b)));
}

// 4 x 24 as 2 x 12 blocks of 2 x 2: 24 accumulators, 4 of lhs (2 pairs of rows, two depth groups); rhs passes through the rest.
struct Int8I8mm {
  using Simd = SimdNeon;
  using Lhs = std::uint8_t;
  using Rhs = std::int8_t;
  using Acc = std::int32_t;
#ifdef __clang__  // which spills with 24 accumulators: docs/decisions/0031-arm-tiles.md
  static constexpr int rows = 4, cols = 16, lanes = 4, depth = 8;
#else
  static constexpr int rows = 4, cols = 24, lanes = 4, depth = 8;
#endif
  static constexpr std::int32_t lhs_offset = 0;
  using Codes = CodesNeon;
  static constexpr int code_rows = 2, few_rows = 2;

  template <int Rows, int Vectors>
  static void run(const gemm::TileArgs<Int8I8mm>& args) {
    if (args.lhs_signed) Tile<Rows, Vectors, true, BytesNeon>::run(args);
    else Tile<Rows, Vectors, false, BytesNeon>::run(args);
  }
  template <int Rows, int Vectors>
  static void run_codes(const gemm::TileArgs<Int8I8mm>& args) {
    if (args.lhs_signed) Tile<Rows, Vectors, true, Codes>::run(args);
    else Tile<Rows, Vectors, false, Codes>::run(args);
  }

 private:
  template <int Rows, int Vectors, bool is_signed, class Weights>
  struct Tile {
    static constexpr int row_pairs = (Rows + 1) / 2, col_pairs = Vectors * 2;
    static constexpr Index group_bytes = Weights::stored(col_pairs * 16);

    [[gnu::always_inline]] static void add_group(int32x4_t (&sum)[row_pairs][col_pairs], const uint8x16_t (&a)[row_pairs], const Weights& weights,
                                                 const std::int8_t* rhs) {
#pragma GCC unroll 12
      for (int c = 0; c < col_pairs; ++c) {
        const int8x16_t b = weights.load(rhs + Weights::stored(c * 16));
#pragma GCC unroll 4
        for (int r = 0; r < row_pairs; ++r) {
          if constexpr (is_signed) sum[r][c] = vmmlaq_s32(sum[r][c], vreinterpretq_s8_u8(a[r]), b);
          else sum[r][c] = vusmmlaq_s32(sum[r][c], a[r], b);
        }
      }
    }

    static void run(const gemm::TileArgs<Int8I8mm>& args) {
      int32x4_t sum[row_pairs][col_pairs];
#pragma GCC unroll 4
      for (int r = 0; r < row_pairs; ++r) {
#pragma GCC unroll 12
        for (int c = 0; c < col_pairs; ++c) sum[r][c] = vdupq_n_s32(0);
      }
      const Weights weights(args.levels);
      const std::int8_t* rhs = args.panel;
      for (Index tap = 0; tap < args.taps; ++tap) {
        const std::uint8_t* lhs[2 * row_pairs];
#pragma GCC unroll 12
        for (int r = 0; r < 2 * row_pairs; ++r) lhs[r] = args.lhs_rows[r < Rows ? r : Rows - 1] + args.tap_offsets[tap];
        Index g = 0;
        for (; g + 2 <= args.depth_groups; g += 2, rhs += 2 * group_bytes) {
          uint8x16_t first[row_pairs], second[row_pairs];
#pragma GCC unroll 4
          for (int r = 0; r < row_pairs; ++r) {
            const uint8x16_t upper = vld1q_u8(lhs[2 * r] + g * depth), lower = vld1q_u8(lhs[2 * r + 1] + g * depth);
            first[r] = first_depths(upper, lower);
            second[r] = second_depths(upper, lower);
          }
          add_group(sum, first, weights, rhs);
          add_group(sum, second, weights, rhs + group_bytes);
        }
        if (g < args.depth_groups) {
          uint8x16_t last[row_pairs];
#pragma GCC unroll 4
          for (int r = 0; r < row_pairs; ++r) last[r] = vcombine_u8(vld1_u8(lhs[2 * r] + g * depth), vld1_u8(lhs[2 * r + 1] + g * depth));
          add_group(sum, last, weights, rhs);
          rhs += group_bytes;
        }
      }
      store(sum, args.tile);
    }

    // A block holds two columns of two rows; two blocks make four columns of each row.
    [[gnu::always_inline]] static void store(const int32x4_t (&sum)[row_pairs][col_pairs], std::int32_t* tile) {
#pragma GCC unroll 12
      for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) {
          const int64x2_t left = vreinterpretq_s64_s32(sum[r / 2][2 * v]), right = vreinterpretq_s64_s32(sum[r / 2][2 * v + 1]);
          const int64x2_t row = r % 2 == 0 ? vzip1q_s64(left, right) : vzip2q_s64(left, right);
          vst1q_s32(tile + (r * Vectors + v) * 4, vreinterpretq_s32_s64(row));
        }
      }
    }
  };
};

struct Int8ProductsI8mm {
  using Vector = int8x16_t;
  static constexpr const char* instructions = "smmla";
  static constexpr int products = 32;
  static Vector add(Vector sum, Vector a, Vector b) { return vreinterpretq_s8_s32(vmmlaq_s32(vreinterpretq_s32_s8(sum), a, b)); }
};

struct Tier {
  static constexpr const char* name = "neon_i8mm";
  using Simd = SimdNeon;
  using Int8Products = Int8ProductsI8mm;
  using Float32Products = VectorProducts<SimdNeon>;
  using Int8Kernel = Int8I8mm;
  using Float32Kernel = Float32Neon;
  using Int16Kernel = Int16Neon;
  using DepthwiseTile = DepthwiseDotprod;
  static constexpr auto lookup = &lookup_neon;
};

}  // namespace

const KernelTable& kernel_table_neon_i8mm() {
  static constexpr KernelTable table = make_kernel_table<Tier>();
  return table;
}

}  // namespace qkern::isa
