// out[m, n] = sum over k of (a[m, k] - a_zero)(b[k, n] - b_zero), exactly, modulo 2^32.
#pragma once

#include "gemm/packed_weights.h"
#include "gemm/product.h"

namespace qkern::ops {

// Elements at data[row * row_stride + k]: depth is contiguous, rows at any distance. `end`: one past the last byte of
// the memory that holds the array.
struct RowsView {
  const void* data;
  const void* end;
  Index rows, depth, row_stride;
  bool is_signed;
};

// b[k, n] at data[k * depth_stride + n * col_stride]; packed for the active tier. levels: none, or 16 that b consists of.
gemm::PackedWeights pack(const void* data, Index depth, Index cols, Index depth_stride, Index col_stride, bool is_signed,
                         std::span<const std::int8_t> levels = {});

// a_zero: 1 or a.rows values; b_zero: 1 or b.cols(). out: contiguous [rows, cols].
void matmul(const RowsView& a, gemm::ZeroPoints a_zero, const gemm::PackedWeights& b, gemm::ZeroPoints b_zero, std::int32_t* out);

// The rows of a matrix as the left operand: one tap at offset 0.
gemm::Lhs as_lhs(const RowsView& a);

}  // namespace qkern::ops
