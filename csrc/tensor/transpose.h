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

// 2 to 4 rows of bytes, as the channels of an image, to columns of as many bytes: 16 of them at a time, four bytes each, of which the
// unused one is squeezed out of every eight. cols at least 16.
template <int Rows>
void interleave_rows(const std::uint8_t* x, Index x_stride, Index cols, std::uint8_t* y) {
  using Bytes = TransposeBlock<std::uint8_t, 16>;
  using Pairs = TransposeBlock<std::uint16_t, 8>;
  constexpr auto bytes = std::make_index_sequence<16>{};
  constexpr auto pairs = std::make_index_sequence<8>{};
  for (Index c = 0; c < cols; c += 16) {
    const Index col = c + 16 <= cols ? c : cols - 16;
    typename Bytes::Row row[4] = {};
    for (int r = 0; r < Rows; ++r) std::memcpy(&row[r], x + r * x_stride + col, 16);
    const typename Bytes::Row first[2] = {Bytes::template interleave<0>(row[0], row[1], bytes), Bytes::template interleave<8>(row[0], row[1], bytes)};
    const typename Bytes::Row second[2] = {Bytes::template interleave<0>(row[2], row[3], bytes),
                                           Bytes::template interleave<8>(row[2], row[3], bytes)};
    std::uint8_t* to = y + col * Rows;
    if constexpr (Rows == 2) {
      std::memcpy(to, first, 32);
    } else {
      typename Pairs::Row fours[4];
      for (int i = 0; i < 2; ++i) {
        const auto a = reinterpret_cast<typename Pairs::Row>(first[i]), b = reinterpret_cast<typename Pairs::Row>(second[i]);
        fours[2 * i] = Pairs::template interleave<0>(a, b, pairs);
        fours[2 * i + 1] = Pairs::template interleave<4>(a, b, pairs);
      }
      if constexpr (Rows == 4) {
        std::memcpy(to, fours, 64);
      } else {
        std::uint64_t eights[8];
        std::memcpy(eights, fours, 64);
        for (int i = 0; i < 8; ++i, to += 6) {
          const std::uint64_t six = (eights[i] & 0xffffff) | (eights[i] >> 8 & 0xffffff000000);
          std::memcpy(to, &six, i < 7 ? 8 : 6);  // the next six bytes go over the last two
        }
      }
    }
  }
}

// T: std::uint8_t or std::uint32_t.
template <class T>
void transpose(const T* x, Index x_stride, Index rows, Index cols, T* y, Index y_stride) {
  const Index least = rows < cols ? rows : cols;
  if constexpr (sizeof(T) == 1) {
    if (y_stride == rows && cols >= 16) {
      if (rows == 2) return interleave_rows<2>(x, x_stride, cols, y);
      if (rows == 3) return interleave_rows<3>(x, x_stride, cols, y);
      if (rows == 4) return interleave_rows<4>(x, x_stride, cols, y);
    }
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
