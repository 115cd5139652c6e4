// y[c][r] = x[r][c], rows of both at any distance: square blocks in registers.
//
// Interleaving row i with row i + n/2, for all i of a block of n x n elements, log2(n) times over, transposes it: each pass moves one
// bit of the row's number to the column's.
#pragma once

#include <cstring>
#include <utility>

#include "tensor/types.h"

namespace qkern::tensor {
namespace {

template <class T, int N>
struct TransposeBlock {
  typedef T Row [[gnu::vector_size(N * sizeof(T))]];

  template <int From, std::size_t... I>
  static Row interleave(Row a, Row b, std::index_sequence<I...>) {
    return __builtin_shufflevector(a, b, (static_cast<int>(I) / 2 + From + static_cast<int>(I) % 2 * N)...);
  }

  static void run(const T* x, Index x_stride, T* y, Index y_stride) {
    constexpr auto lanes = std::make_index_sequence<N>{};
    Row rows[N];
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) std::memcpy(&rows[i], x + i * x_stride, sizeof(Row));
#pragma GCC unroll 4
    for (int pass = 1; pass < N; pass *= 2) {
      Row next[N];
#pragma GCC unroll 8
      for (int i = 0; i < N / 2; ++i) {
        next[2 * i] = interleave<0>(rows[i], rows[i + N / 2], lanes);
        next[2 * i + 1] = interleave<N / 2>(rows[i], rows[i + N / 2], lanes);
      }
#pragma GCC unroll 16
      for (int i = 0; i < N; ++i) rows[i] = next[i];
    }
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) std::memcpy(y + i * y_stride, &rows[i], sizeof(Row));
  }
};

// Blocks of N x N; the last of each direction overlaps the one before. rows and cols at least N.
template <class T, int N>
void transpose_blocks(const T* x, Index x_stride, Index rows, Index cols, T* y, Index y_stride) {
  for (Index c = 0; c < cols; c += N) {
    const Index col = c + N <= cols ? c : cols - N;
    for (Index r = 0; r < rows; r += N) {
      const Index row = r + N <= rows ? r : rows - N;
      TransposeBlock<T, N>::run(x + row * x_stride + col, x_stride, y + col * y_stride + row, y_stride);
    }
  }
}

// T: std::uint8_t or std::uint32_t.
template <class T>
void transpose(const T* x, Index x_stride, Index rows, Index cols, T* y, Index y_stride) {
  const Index least = rows < cols ? rows : cols;
  if constexpr (sizeof(T) == 1) {
    if (least >= 16) return transpose_blocks<T, 16>(x, x_stride, rows, cols, y, y_stride);
    if (least >= 8) return transpose_blocks<T, 8>(x, x_stride, rows, cols, y, y_stride);
  } else {
    if (least >= 4) return transpose_blocks<T, 4>(x, x_stride, rows, cols, y, y_stride);
  }
  for (Index r = 0; r < rows; ++r) {
    for (Index c = 0; c < cols; ++c) y[c * y_stride + r] = x[r * x_stride + c];
  }
}

}  // namespace
}  // namespace qkern::tensor
