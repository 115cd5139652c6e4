// Tier neon: Armv8.0, which multiplies int8 into int16 (smull) and adds pairs of int16 into int32 (sadalp). One smlal between the
// two saves a sadalp and is exact unless both of its products are -128 * -128: for weights that hold no -128. Weights that do
// take a sadalp per product. Unsigned lhs is moved to int8 by one xor in the register.
#include "isa/make_kernel_table.h"
#include "isa/tile_neon.h"

namespace qkern::isa {
namespace {

// 4 x 4: 16 accumulators of four partial sums each, 4 columns of rhs with 16 depths, 1 row of lhs, 1 flip mask, 4 products.
struct Int8Neon {
  using Simd = SimdNeon;
  using Lhs = std::uint8_t;
  using Rhs = std::int8_t;
  using Acc = std::int32_t;
  static constexpr int rows = 4, cols = 4, lanes = 4, depth = 16;
  static constexpr std::int32_t lhs_offset = -128;
  using Codes = CodesNeon;
  static constexpr int code_rows = 2, few_rows = 2;

  template <int Rows, int Vectors>
  static void run(const gemm::TileArgs<Int8Neon>& args) {
    if (args.rhs_narrow) run_tile<Rows, true, BytesNeon>(args);
    else run_tile<Rows, false, BytesNeon>(args);
  }
  template <int Rows, int Vectors>
  static void run_codes(const gemm::TileArgs<Int8Neon>& args) {
    if (args.rhs_narrow) run_tile<Rows, true, Codes>(args);
    else run_tile<Rows, false, Codes>(args);
  }

 private:
  // One row and four columns: the four chains side by side, for processors that execute in order.
  template <bool narrow>
  [[gnu::always_inline]] static void add_row(int32x4_t (&sum)[cols], int8x16_t a, const int8x16_t (&b)[cols]) {
    int16x8_t product[cols];
#pragma GCC unroll 4
    for (int c = 0; c < cols; ++c) product[c] = vmull_s8(vget_low_s8(a), vget_low_s8(b[c]));
    if constexpr (narrow) {
#pragma GCC unroll 4
      for (int c = 0; c < cols; ++c) product[c] = vmlal_high_s8(product[c], a, b[c]);
    } else {
#pragma GCC unroll 4
      for (int c = 0; c < cols; ++c) sum[c] = vpadalq_s16(sum[c], product[c]);
#pragma GCC unroll 4
      for (int c = 0; c < cols; ++c) product[c] = vmull_high_s8(a, b[c]);
    }
#pragma GCC unroll 4
    for (int c = 0; c < cols; ++c) sum[c] = vpadalq_s16(sum[c], product[c]);
  }

  template <int Rows, bool narrow, class Weights>
  static void run_tile(const gemm::TileArgs<Int8Neon>& args) {
    int32x4_t sum[Rows][cols];
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
      for (int c = 0; c < cols; ++c) sum[r][c] = vdupq_n_s32(0);
    }
    const uint8x16_t flip = vreinterpretq_u8_u32(vdupq_n_u32(args.lhs_flip));
    const Weights weights(args.levels);
    const std::int8_t* rhs = args.panel;
    for (Index tap = 0; tap < args.taps; ++tap) {
      const std::uint8_t* lhs[Rows];
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) lhs[r] = args.lhs_rows[r] + args.tap_offsets[tap];
      for (Index g = 0; g < args.depth_groups; ++g, rhs += Weights::stored(cols * depth)) {
        int8x16_t b[cols];
#pragma GCC unroll 4
        for (int c = 0; c < cols; ++c) b[c] = weights.load(rhs + Weights::stored(c * depth));
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) {
          const int8x16_t a = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(lhs[r] + g * depth), flip));
          add_row<narrow>(sum[r], a, b);
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      vst1q_s32(args.tile + r * cols, vpaddq_s32(vpaddq_s32(sum[r][0], sum[r][1]), vpaddq_s32(sum[r][2], sum[r][3])));
    }
  }
};

// Of narrow weights, which is what conversion makes.
struct Int8ProductsNeon {
  using Vector = int8x16_t;
  static constexpr const char* instructions = "smull + smlal2 + sadalp";
  static constexpr int products = 16;
  static Vector add(Vector sum, Vector a, Vector b) {
    const int16x8_t product = vmlal_high_s8(vmull_s8(vget_low_s8(a), vget_low_s8(b)), a, b);
    return vreinterpretq_s8_s32(vpadalq_s16(vreinterpretq_s32_s8(sum), product));
  }
};

struct Tier {
  static constexpr const char* name = "neon";
  using Simd = SimdNeon;
  using Int8Products = Int8ProductsNeon;
  using Float32Products = VectorProducts<SimdNeon>;
  using Int8Kernel = Int8Neon;
  using Float32Kernel = Float32Neon;
  using Int16Kernel = Int16Neon;
  // Not measured: instructions as counted (docs/micro_kernels.md), three to a nanosecond.
  static constexpr conv::WinogradCosts winograd_costs{{0, 0, 1, 0.084, 0, 0}, {{0, 6.7, 9.6, 0.095, 0, 0.02}, {0, 20, 46, 0.095, 0, 0.02}}};
  static constexpr auto lookup = &lookup_neon;
};

}  // namespace

const KernelTable& kernel_table_neon() {
  static constexpr KernelTable table = make_kernel_table<Tier>();
  return table;
}

}  // namespace qkern::isa
