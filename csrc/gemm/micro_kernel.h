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
  const std::int8_t* levels;   // 16, where the panel holds codes of 4 bits: for run_codes
  typename Kernel::Acc* tile;  // [Rows][Vectors * lanes]
};

// rows x cols: the tile. lanes: accumulators per register; cols = vectors * lanes. depth: consecutive k that stay
// together. Lhs/Rhs/Acc: what the kernel reads and accumulates; where Lhs is wider than a byte the driver widens.
// Optional: flip_costs, true where the xor with lhs_flip takes time from the products: the driver then copies a block of rows with the
// xor done, if several panels read it.
// Optional: never_flips, true where the kernel has no xor: the driver then does it for every block of rows that needs it.
// Optional: run_from<Rows, Vectors>(args, start), always inlined, the same with sums that start at start[c]; whole tiles are then
// finished in the registers they were computed in (docs/decisions/0033-shallow-products.md).
//
// Kernels of int8 take codes of 4 bits too (gemm::Rhs): Codes(levels).load(from) is a register of weights, of which n are in
// stored(n) bytes, and run_codes<Rows, Vectors>(args) is run() with these in the place of its loads, for tiles of up to code_rows rows, in
// products of up to few_rows. For more rows the driver writes the panel out as int8.
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

template <class K>
concept TakesCodes = requires(const TileArgs<K>& args, const typename K::Codes& codes, const std::int8_t* from) {
  requires K::code_rows >
  0 && K::code_rows <= K::rows&& K::few_rows >= K::code_rows;
  requires K::lanes* K::depth % sizeof(typename K::Codes::Register) == 0;
  { codes.load(from) } -> std::same_as<typename K::Codes::Register>;
  { K::template run_codes<K::code_rows, K::cols / K::lanes>(args) } -> std::same_as<void>;
};

namespace {  // internal linkage: each file compiles its own copy

// So many weights of a panel: as packed, and as codes of 4 bits.
template <int Bytes>
struct ScalarBytes {
  explicit ScalarBytes(const std::int8_t*) {}
  struct Register {
    std::int8_t weight[Bytes];
  };
  static constexpr Index stored(Index weights) { return weights; }
  Register load(const std::int8_t* from) const {
    Register weights;
    for (int i = 0; i < Bytes; ++i) weights.weight[i] = from[i];
    return weights;
  }
};
template <int Bytes>
struct ScalarCodes {
  explicit ScalarCodes(const std::int8_t* table) : levels(table) {}
  using Register = typename ScalarBytes<Bytes>::Register;
  static constexpr Index stored(Index weights) { return weights / 2; }
  Register load(const std::int8_t* from) const {
    Register weights;
    for (int i = 0; i < Bytes / 2; ++i) {
      const auto both = static_cast<std::uint8_t>(from[i]);
      weights.weight[i] = levels[both & 15], weights.weight[Bytes / 2 + i] = levels[both >> 4];
    }
    return weights;
  }
  const std::int8_t* levels;
};

// Any shape, any processor: the oracle of the driver's tests, and the tier `scalar`.
template <class Simd_, int Rows_, int Cols_, int Depth_>
struct ScalarKernel {
  using Simd = Simd_;
  using Lhs = std::int16_t;
  using Rhs = std::int8_t;
  using Acc = std::int32_t;
  static constexpr int rows = Rows_, cols = Cols_, lanes = Cols_, depth = Depth_;
  static constexpr std::int32_t lhs_offset = 0;
  using Codes = ScalarCodes<lanes * depth>;
  static constexpr int code_rows = rows, few_rows = rows;

  template <int Rows, int Vectors>
  static void run(const TileArgs<ScalarKernel>& args) {
    run_tile<Rows, Vectors, ScalarBytes<lanes * depth>>(args);
  }
  template <int Rows, int Vectors>
  static void run_codes(const TileArgs<ScalarKernel>& args) {
    run_tile<Rows, Vectors, Codes>(args);
  }

 private:
  template <int Rows, int Vectors, class Weights>
  static void run_tile(const TileArgs<ScalarKernel>& args) {
    std::uint32_t sum[Rows][cols] = {};
    const Weights weights(args.levels);
    const std::int8_t* panel = args.panel;
    for (Index tap = 0; tap < args.taps; ++tap) {
      for (Index g = 0; g < args.depth_groups; ++g, panel += Weights::stored(cols * depth)) {
        const auto rhs = weights.load(panel);
        for (int r = 0; r < Rows; ++r) {
          const Lhs* lhs = args.lhs_rows[r] + args.tap_offsets[tap] + g * depth;
          for (int c = 0; c < cols; ++c) {
            for (int j = 0; j < depth; ++j) sum[r][c] += static_cast<std::uint32_t>(lhs[j] * rhs.weight[c * depth + j]);
          }
        }
      }
    }
    for (int r = 0; r < Rows; ++r) {
      for (int c = 0; c < cols; ++c) args.tile[r * cols + c] = static_cast<Acc>(sum[r][c]);
    }
  }
};

// Likewise of float: each sum one chain of fused multiply-adds.
template <class Simd_, int Rows_, int Cols_>
struct ScalarFloatKernel {
  using Simd = Simd_;
  using Lhs = float;
  using Rhs = float;
  using Acc = float;
  static constexpr int rows = Rows_, cols = Cols_, lanes = Cols_, depth = 1;
  static constexpr std::int32_t lhs_offset = 0;

  template <int Rows, int Vectors>
  static void run(const TileArgs<ScalarFloatKernel>& args) {
    float sum[Rows][cols] = {};
    const float* rhs = args.panel;
    for (Index tap = 0; tap < args.taps; ++tap) {
      for (Index k = 0; k < args.depth_groups; ++k, rhs += cols) {
        for (int r = 0; r < Rows; ++r) {
          const float lhs = args.lhs_rows[r][args.tap_offsets[tap] + k];
          for (int c = 0; c < cols; ++c) sum[r][c] = __builtin_fmaf(lhs, rhs[c], sum[r][c]);
        }
      }
    }
    for (int r = 0; r < Rows; ++r) {
      for (int c = 0; c < cols; ++c) args.tile[r * cols + c] = sum[r][c];
    }
  }
};

}  // namespace
}  // namespace qkern::gemm
