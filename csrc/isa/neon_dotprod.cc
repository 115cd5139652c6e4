// Tier neon_dotprod: sdot, s8 x s8, four products summed into int32. Unsigned lhs is moved to int8 by one xor in the register.
#include "isa/make_kernel_table.h"
#include "isa/tile_dotprod.h"

namespace qkern::isa {
namespace {

// 6 x 16: 24 accumulators, 6 of lhs with four depth groups each, 1 flip mask; rhs passes through the register that is left.
struct Int8Dotprod {
  using Simd = SimdNeon;
  using Lhs = std::uint8_t;
  using Rhs = std::int8_t;
  using Acc = std::int32_t;
  using Register = int8x16_t;
  using Sum = int32x4_t;
  static constexpr int rows = 6, cols = 16, lanes = 4, depth = 4;
  static constexpr std::int32_t lhs_offset = -128;
  using Codes = CodesNeon;
  static constexpr int code_rows = 4, few_rows = 4;

  template <int Rows, int Vectors>
  static void run(const gemm::TileArgs<Int8Dotprod>& args) {
    TileByLane<Int8Dotprod, Rows, Vectors, BytesNeon>::run(args);
  }
  template <int Rows, int Vectors>
  static void run_codes(const gemm::TileArgs<Int8Dotprod>& args) {
    TileByLane<Int8Dotprod, Rows, Vectors, Codes>::run(args);
  }
  [[gnu::always_inline]] static Register load_four(const std::uint8_t* from, std::uint32_t flip) {
    return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(from), vreinterpretq_u8_u32(vdupq_n_u32(flip))));
  }
  [[gnu::always_inline]] static Register load_one(const std::uint8_t* from, std::uint32_t flip) {
    return vreinterpretq_s8_u32(vdupq_n_u32(load_unaligned<std::uint32_t>(from) ^ flip));
  }
  template <int lane>
  [[gnu::always_inline]] static Sum multiply_add(Sum sum, Register rhs, Register lhs) {
    return vdotq_laneq_s32(sum, rhs, lhs, lane);
  }
};

struct Int8ProductsDotprod {
  using Vector = int8x16_t;
  static constexpr const char* instructions = "sdot";
  static constexpr int products = 16;
  static Vector add(Vector sum, Vector a, Vector b) { return vreinterpretq_s8_s32(vdotq_s32(vreinterpretq_s32_s8(sum), a, b)); }
};

struct Tier {
  static constexpr const char* name = "neon_dotprod";
  using Simd = SimdNeon;
  using Int8Products = Int8ProductsDotprod;
  using Float32Products = VectorProducts<SimdNeon>;
  using Int8Kernel = Int8Dotprod;
  using Float32Kernel = Float32Neon;
  using Int16Kernel = Int16Neon;
  using DepthwiseTile = DepthwiseDotprod;
  static constexpr auto lookup = &lookup_neon;
};

}  // namespace

const KernelTable& kernel_table_neon_dotprod() {
  static constexpr KernelTable table = make_kernel_table<Tier>();
  return table;
}

}  // namespace qkern::isa
