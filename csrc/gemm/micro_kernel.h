// What a tier writes: one tile of the product.
//
//   tile[r][c] = sum over taps, groups g, j < depth of lhs[r][tap][g * depth + j] * panel[tap][g][c][j]
//
// A kernel never sees a zero point, a tail or an epilogue: rows and columns are whole (a template argument), depth is
// padded with zero weights, and every lhs row may be read up to the end of its last group.
#pragma once

#include <concepts>
#include <type_traits>

#include "tensor/types.h"

namespace qkern::gemm {

template <class Kernel>
struct TileArgs {
  const typename Kernel::Lhs* const* lhs_rows;
  const Index* tap_offsets;
  Index taps;
  Index depth_groups;
  const typename Kernel::Rhs* panel;
  std::uint32_t lhs_flip;      // xor for four lhs bytes, 0 or 0x80808080: adds lhs_offset, int8 <-> uint8
  bool lhs_signed;             // lhs as given holds int8; for a kernel with an instruction for each
  bool rhs_narrow;             // no byte of rhs is -128
  typename Kernel::Acc* tile;  // [Rows][Vectors * lanes]
};

// rows x cols: the tile. lanes: accumulators per register; cols = vectors * lanes. depth: consecutive k that stay
// together. Lhs/Rhs/Acc: what the kernel reads and accumulates; where Lhs is wider than a byte the driver widens.
// Optional: flip_costs, true where the xor with lhs_flip takes time from the products: the driver then copies a block of rows with the
// xor done, if several panels read it.
// Optional: never_flips, true where the kernel has no xor: the driver then does it for every block of rows that needs it.
// Optional: run_from<Rows, Vectors>(args, start), always inlined, the same with sums that start at start[c]; whole tiles are then
// finished in the registers they were computed in (docs/decisions/0033-shallow-products.md).
template <class K>
concept MicroKernel = requires(const TileArgs<K>& args) {
  requires K::rows >
  0 && K::lanes > 0 && K::cols % K::lanes == 0 && K::depth > 0;
  requires K::lanes % K::Simd::lanes == 0;  // vectors of the epilogue
  requires K::lhs_offset == 0 || K::lhs_offset == 128 || K::lhs_offset == -128;
  requires std::is_trivial_v<typename K::Lhs> && std::is_trivial_v<typename K::Rhs>;
  { K::template run<1, 1>(args) } -> std::same_as<void>;
  { K::template run<K::rows, K::cols / K::lanes>(args) } -> std::same_as<void>;
};

namespace {  // internal linkage: each file compiles its own copy

// Any shape, any processor: the oracle of the driver's tests, and the tier `scalar`.
template <class Simd_, int Rows_, int Cols_, int Depth_, class Lhs_ = std::int16_t, class Rhs_ = std::int8_t, class Acc_ = std::int32_t>
struct ScalarKernel {
  using Simd = Simd_;
  using Lhs = Lhs_;
  using Rhs = Rhs_;
  using Acc = Acc_;
  static constexpr int rows = Rows_, cols = Cols_, lanes = Cols_, depth = Depth_;
  static constexpr std::int32_t lhs_offset = 0;

  template <int Rows, int Vectors>
  static void run(const TileArgs<ScalarKernel>& args) {
    constexpr int tile_cols = Vectors * lanes;
    Acc sum[Rows][tile_cols] = {};
    const Rhs* rhs = args.panel;
    for (Index tap = 0; tap < args.taps; ++tap) {
      for (Index g = 0; g < args.depth_groups; ++g, rhs += tile_cols * depth) {
        for (int r = 0; r < Rows; ++r) {
          const Lhs* lhs = args.lhs_rows[r] + args.tap_offsets[tap] + g * depth;
          for (int c = 0; c < tile_cols; ++c) {
            for (int j = 0; j < depth; ++j) sum[r][c] = multiply_add(lhs[j], rhs[c * depth + j], sum[r][c]);
          }
        }
      }
    }
    for (int r = 0; r < Rows; ++r) {
      for (int c = 0; c < tile_cols; ++c) args.tile[r * tile_cols + c] = sum[r][c];
    }
  }

 private:
  static Acc multiply_add(Lhs a, Rhs b, Acc sum) {
    if constexpr (std::is_floating_point_v<Acc>) {
      return __builtin_fmaf(a, b, sum);  // one rounding, as every tier's instruction
    } else {
      return static_cast<Acc>(static_cast<std::uint32_t>(sum) + static_cast<std::uint32_t>(Acc{a} * Acc{b}));
    }
  }
};

}  // namespace
}  // namespace qkern::gemm
