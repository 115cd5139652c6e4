// What the Arm tiers share: their vectors, the tile of products by lane (FP32 here, sdot in tile_dotprod.h), the byte table.
#pragma once

#include <arm_neon.h>

#include "gemm/micro_kernel.h"

namespace qkern::isa {
namespace {

template <class T>
[[gnu::always_inline]] inline T load_unaligned(const void* from) {
  T value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

struct SimdNeon {
  static constexpr int lanes = 4;
  using I32 [[gnu::vector_size(16)]] = std::int32_t;
  using U32 [[gnu::vector_size(16)]] = std::uint32_t;
  using F32 [[gnu::vector_size(16)]] = float;

  static I32 widen(const std::int8_t* from) {
    const int8x8_t bytes = vreinterpret_s8_s32(vdup_n_s32(load_unaligned<std::int32_t>(from)));
    return I32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))));
  }
  static I32 widen(const std::uint8_t* from) {
    const uint8x8_t bytes = vreinterpret_u8_u32(vdup_n_u32(load_unaligned<std::uint32_t>(from)));
    return I32(vmovl_u16(vget_low_u16(vmovl_u8(bytes))));
  }
  static I32 widen(const std::int16_t* from) { return I32(vmovl_s16(vld1_s16(from))); }
  static constexpr const char* multiply_add_instruction = "fmla";
  static F32 multiply_add(F32 a, F32 b, F32 sum) { return F32(vfmaq_f32(float32x4_t(sum), float32x4_t(a), float32x4_t(b))); }

  // Sixteen codes times sixteen weights: widened to int16 only, for smlal multiplies into int32.
  static void multiply_add(const std::int8_t* x, const std::int16_t* weights, I32 (&sum)[4]) {
    const int8x16_t bytes = vld1q_s8(x);
    multiply_add(vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes), weights, sum);
  }
  static void multiply_add(const std::uint8_t* x, const std::int16_t* weights, I32 (&sum)[4]) {
    const uint8x16_t bytes = vld1q_u8(x);
    multiply_add(vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes))), vreinterpretq_s16_u16(vmovl_high_u8(bytes)), weights, sum);
  }

  static void store_bytes(I32 value, void* to) {
    const int16x4_t halves = vmovn_s32(int32x4_t(value));
    const int8x8_t bytes = vmovn_s16(vcombine_s16(halves, halves));
    const std::int32_t four = vget_lane_s32(vreinterpret_s32_s8(bytes), 0);
    __builtin_memcpy(to, &four, sizeof four);
  }

 private:
  static void multiply_add(int16x8_t low, int16x8_t high, const std::int16_t* weights, I32 (&sum)[4]) {
    const int16x8_t w_low = vld1q_s16(weights), w_high = vld1q_s16(weights + 8);
    sum[0] = I32(vmlal_s16(int32x4_t(sum[0]), vget_low_s16(low), vget_low_s16(w_low)));
    sum[1] = I32(vmlal_high_s16(int32x4_t(sum[1]), low, w_low));
    sum[2] = I32(vmlal_s16(int32x4_t(sum[2]), vget_low_s16(high), vget_low_s16(w_high)));
    sum[3] = I32(vmlal_high_s16(int32x4_t(sum[3]), high, w_high));
  }
};

// 16 weights of a panel: as packed, and as codes of 4 bits.
struct BytesNeon {
  explicit BytesNeon(const std::int8_t*) {}
  static constexpr Index stored(Index weights) { return weights; }
  [[gnu::always_inline]] int8x16_t load(const std::int8_t* from) const { return vld1q_s8(from); }
};
class CodesNeon {
 public:
  using Register = int8x16_t;
  explicit CodesNeon(const std::int8_t* levels) : table_(vld1q_s8(levels)) {}
  static constexpr Index stored(Index weights) { return weights / 2; }
  [[gnu::always_inline]] int8x16_t load(const std::int8_t* from) const {
    const uint8x8_t both = vld1_u8(reinterpret_cast<const std::uint8_t*>(from));
    return vqtbl1q_s8(table_, vcombine_u8(vand_u8(both, vdup_n_u8(15)), vshr_n_u8(both, 4)));
  }

 private:
  int8x16_t table_;
};
// Elements of a panel of floats.
struct FloatsNeon {
  explicit FloatsNeon(const std::int8_t*) {}
  static constexpr Index stored(Index weights) { return weights; }
  [[gnu::always_inline]] float32x4_t load(const float* from) const { return vld1q_f32(from); }
};

// rows x vectors of 4 columns: sum[r][v] = Kernel::multiply_add<lane>(sum[r][v], rhs[v], lhs[r]).
//
// A register of lhs holds 16 bytes of one row, four depth groups, and the instruction picks one of the four itself: no
// broadcast. One depth group of rhs is one register per 4 columns.
template <class Kernel, int Rows, int Vectors, class Weights>
class TileByLane {
 public:
  static void run(const gemm::TileArgs<Kernel>& args) {
    Sum sum[Rows][Vectors];
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[r][v] = Sum{};
    }
    const Weights weights(args.levels);
    const auto* rhs = args.panel;
    for (Index tap = 0; tap < args.taps; ++tap) {
      const typename Kernel::Lhs* lhs[Rows];
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) lhs[r] = args.lhs_rows[r] + args.tap_offsets[tap];
      Index g = 0;
      for (; g + 4 <= args.depth_groups; g += 4, rhs += 4 * group_size) {
        Register a[Rows];
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) a[r] = Kernel::load_four(lhs[r] + g * Kernel::depth, args.lhs_flip);
        add_group<0>(sum, a, weights, rhs);
        add_group<1>(sum, a, weights, rhs + group_size);
        add_group<2>(sum, a, weights, rhs + 2 * group_size);
        add_group<3>(sum, a, weights, rhs + 3 * group_size);
      }
      for (; g < args.depth_groups; ++g, rhs += group_size) {
        Register a[Rows];
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) a[r] = Kernel::load_one(lhs[r] + g * Kernel::depth, args.lhs_flip);
        add_group<0>(sum, a, weights, rhs);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) __builtin_memcpy(args.tile + (r * Vectors + v) * 4, &sum[r][v], sizeof(Sum));
    }
  }

 private:
  using Register = typename Kernel::Register;
  using Sum = typename Kernel::Sum;
  static constexpr Index group_size = Weights::stored(Vectors * 4 * Kernel::depth);

  template <int lane>
  [[gnu::always_inline]] static void add_group(Sum (&sum)[Rows][Vectors], const Register (&a)[Rows], const Weights& weights,
                                               const typename Kernel::Rhs* rhs) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      const Register b = weights.load(rhs + Weights::stored(v * 4 * Kernel::depth));
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) sum[r][v] = Kernel::template multiply_add<lane>(sum[r][v], b, a[r]);
    }
  }
};

// 6 x 16: 24 accumulators, 6 of lhs with four depths each, and rhs in the 2 that are left.
struct Float32Neon {
  using Simd = SimdNeon;
  using Lhs = float;
  using Rhs = float;
  using Acc = float;
  using Register = float32x4_t;
  using Sum = float32x4_t;
  static constexpr int rows = 6, cols = 16, lanes = 4, depth = 1;
  static constexpr std::int32_t lhs_offset = 0;

  template <int Rows, int Vectors>
  static void run(const gemm::TileArgs<Float32Neon>& args) {
    TileByLane<Float32Neon, Rows, Vectors, FloatsNeon>::run(args);
  }
  [[gnu::always_inline]] static Register load_four(const float* from, std::uint32_t) { return vld1q_f32(from); }
  [[gnu::always_inline]] static Register load_one(const float* from, std::uint32_t) { return vsetq_lane_f32(*from, vdupq_n_f32(0), 0); }
  template <int lane>
  [[gnu::always_inline]] static Sum multiply_add(Sum sum, Register rhs, Register lhs) {
    return vfmaq_laneq_f32(sum, rhs, lhs, lane);
  }
};

// Products of int16 (conv/winograd.h), 6 x 16: 24 accumulators, 6 of lhs with eight depths each, and rhs in the 2 that are left. A register of rhs
// holds two depths of 4 columns, one in each half, for smlal and smlal2.
struct Int16Neon {
  using Simd = SimdNeon;
  static constexpr int rows = 6, cols = 16, lanes = 4, depth = 2;
  static constexpr Index place(Index col, Index j) { return col / 4 * 8 + j * 4 + col % 4; }

  template <int Rows, int Vectors>
  static void run(const std::int16_t* lhs, Index row_stride, const std::int16_t* panel, Index groups, std::int32_t* tile) {
    int32x4_t sum[Rows][Vectors];
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[r][v] = vdupq_n_s32(0);
    }
    Index g = 0;
    for (; g + 4 <= groups; g += 4, lhs += 8, panel += 4 * Vectors * 8) {
      int16x8_t a[Rows];
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r) a[r] = vld1q_s16(lhs + r * row_stride);
      add_group<0>(sum, a, panel);
      add_group<1>(sum, a, panel + Vectors * 8);
      add_group<2>(sum, a, panel + 2 * Vectors * 8);
      add_group<3>(sum, a, panel + 3 * Vectors * 8);
    }
    for (; g < groups; ++g, lhs += 2, panel += Vectors * 8) {
      int16x8_t a[Rows];
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r) a[r] = vreinterpretq_s16_s32(vdupq_n_s32(load_unaligned<std::int32_t>(lhs + r * row_stride)));
      add_group<0>(sum, a, panel);
    }
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) vst1q_s32(tile + (r * Vectors + v) * 4, sum[r][v]);
    }
  }

 private:
  template <int group, int Rows, int Vectors>
  [[gnu::always_inline]] static void add_group(int32x4_t (&sum)[Rows][Vectors], const int16x8_t (&a)[Rows], const std::int16_t* panel) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      const int16x8_t b = vld1q_s16(panel + v * 8);
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r) {
        sum[r][v] = vmlal_laneq_s16(sum[r][v], vget_low_s16(b), a[r], 2 * group);
        sum[r][v] = vmlal_high_laneq_s16(sum[r][v], b, a[r], 2 * group + 1);
      }
    }
  }
};

// y[i] = table[x[i]]: the table in 16 registers, tbl for its first quarter and tbx for each other one (an index outside of a
// quarter leaves the byte as it is).
inline void lookup_neon(const std::uint8_t* x, Index n, const std::uint8_t* table, std::uint8_t* y) {
  uint8x16x4_t quarter[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) quarter[i] = vld1q_u8_x4(table + 64 * i);
  const auto look_up = [&](uint8x16_t codes) {
    uint8x16_t found = vqtbl4q_u8(quarter[0], codes);
    found = vqtbx4q_u8(found, quarter[1], vsubq_u8(codes, vdupq_n_u8(64)));
    found = vqtbx4q_u8(found, quarter[2], vsubq_u8(codes, vdupq_n_u8(128)));
    return vqtbx4q_u8(found, quarter[3], vsubq_u8(codes, vdupq_n_u8(192)));
  };
  Index i = 0;
  for (; i + 16 <= n; i += 16) vst1q_u8(y + i, look_up(vld1q_u8(x + i)));
  for (; i < n; ++i) y[i] = table[x[i]];
}

}  // namespace
}  // namespace qkern::isa
