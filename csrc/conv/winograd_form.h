// Exact integer Winograd: an output tile of m x m pixels of a 3x3 convolution from (m + 2)^2 products instead of 9 m^2.
//
//   y * d = A' [ (G g G^T) . (B^T x B) ] A'^T           . : a product per position of the tile, summed over channels
//
// Each row of G is scaled to integers by itself; A' makes up for it, so that the sum is y * d with d = odd * 2^shift. Modulo 2^32: times the
// inverse of odd, then an arithmetic shift. Right where y * 2^shift fits int32, which packing proves (WinogradKernel::limit). docs/micro_kernels.md
// has the ranges.
#pragma once

#include "tensor/types.h"

namespace qkern::conv {
namespace {  // internal linkage: each file compiles its own copy

// tile: pixels of the output each way; positions: of the transformed tile each way. input: B^T on vectors of int16, modulo 2^16 (the results fit);
// output: A'^T on vectors of int32, modulo 2^32. Row r of the output is times odd^(1/2) * 2^shift[r].
template <int Tile>
struct WinogradForm;

// F(4x4, 3x3): |B^T x B| <= 17,340; |G g G^T| <= 49 max|g|; d divides 9 * 64.
template <>
struct WinogradForm<4> {
  static constexpr int tile = 4, positions = 6;
  static constexpr std::int16_t weights[6][3] = {{6, 0, 0}, {-1, -1, -1}, {-1, 1, -1}, {1, 2, 4}, {1, -2, 4}, {0, 0, 6}};
  static constexpr int shift[4] = {3, 2, 1, 1};
  static constexpr std::uint32_t inverse = 0x38e38e39;  // of 9

  template <class V>
  [[gnu::always_inline]] static void input(const V (&x)[6], V (&to)[6]) {
    const V x42 = x[4] - x[2], twice = (x[3] - x[1]) << 1;
    const V even = x[4] - (x[2] << 2), odd = x[3] - (x[1] << 2);
    to[0] = ((x[0] - x[2]) << 2) + x42;
    to[1] = even + odd;
    to[2] = even - odd;
    to[3] = x42 + twice;
    to[4] = x42 - twice;
    to[5] = (x[5] - x[3]) - (twice << 1);
  }
  template <class V>
  [[gnu::always_inline]] static void output(const V (&m)[6], V (&to)[4]) {
    const V sum = m[1] + m[2], difference = m[1] - m[2], sum2 = m[3] + m[4], difference2 = m[3] - m[4];
    to[0] = (sum << 2) + m[0] + sum2;
    to[1] = (difference << 1) + difference2;
    to[2] = sum + sum2;
    to[3] = difference + (difference2 << 1) + m[5];
  }
};

// F(2x2, 3x3): |B^T x B| <= 1,020; |G g G^T| <= 9 max|g|; d = 4.
template <>
struct WinogradForm<2> {
  static constexpr int tile = 2, positions = 4;
  static constexpr std::int16_t weights[4][3] = {{2, 0, 0}, {1, 1, 1}, {1, -1, 1}, {0, 0, 2}};
  static constexpr int shift[2] = {1, 1};
  static constexpr std::uint32_t inverse = 1;

  template <class V>
  [[gnu::always_inline]] static void input(const V (&x)[4], V (&to)[4]) {
    to[0] = x[0] - x[2];
    to[1] = x[1] + x[2];
    to[2] = x[2] - x[1];
    to[3] = x[1] - x[3];
  }
  template <class V>
  [[gnu::always_inline]] static void output(const V (&m)[4], V (&to)[2]) {
    to[0] = m[0] + m[1] + m[2];
    to[1] = m[1] - m[2] - m[3];
  }
};

}  // namespace
}  // namespace qkern::conv
