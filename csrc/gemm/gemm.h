// The matrix product that every dense operator becomes:
//
//   out[r, c] = epilogue( sum over taps t, depth d of lhs(r, t)[d] * rhs[t, d, c] )
//
// This header holds what crosses the border between the operators (baseline code) and a tier's kernels: plain data.
#pragma once

#include "tensor/types.h"

namespace qkern::gemm {

// Left operand, read in place. Row r starts at
//   data + (r / inner_rows) * outer_stride + (r % inner_rows) * inner_stride
// and holds, for each tap, `tap_depth` elements at tap_offsets[t] from there. A matrix has one tap at offset 0; a
// convolution has the output pixels as rows and the contiguous runs of its window as taps. Strides, in elements.
struct Lhs {
  const void* data;
  Index inner_rows;
  Index inner_stride;
  Index outer_stride;
  const Index* tap_offsets;
  Index taps;
  Index tap_depth;
  const void* end;       // one past the last readable byte
  bool is_signed;        // int8 rather than uint8; unused for float
  bool is_wide = false;  // int16 already, and `end` is nullptr: for kernels whose lhs_element_size is 2
};

// Right operand as packed: panels of the tile's columns (the last one narrower, a multiple of `lanes`), each
// [tap][depth_group][lane][depth], zero padded.
//
// Where there are `levels`, a byte holds codes of two weights, levels[code]: of each `code_register` weights (GemmKernels) the first half
// in the low four bits, the others in the high ones, so that a register of them is one load, one shift and one look-up.
struct Rhs {
  const void* panels;
  Index cols;          // of the matrix, without padding
  Index depth_groups;  // per tap
  Index taps;
  bool narrow;                          // no byte is -128, so that two products of int8 fit in int16
  const std::int8_t* levels = nullptr;  // 16 of them
  Index padding = 0;                    // depths at the end of each tap that are to be 0 and for which there is no level
};

// Right operand as given: element (k, c) at data[k * depth_stride + c * col_stride], k = tap * tap_depth + d.
struct RhsSource {
  const void* data;
  Index depth_stride;
  Index col_stride;
  Index cols;
  Index taps;
  Index tap_depth;
  bool is_signed;
};

// row[r] * col[c], added to the int32 result: zero points that vary by row, or weights with a zero point of their own.
struct RankOne {
  const std::int32_t* row;
  const std::int32_t* col;
};

// What becomes of an accumulator. Arrays by column are padded to a whole panel.
//   Int32:      acc
//   Int8/Uint8: clamp(round_half_even(float(acc) * multiplier[c]) + zero_point, low, high)
//   Float32:    float(acc) * multiplier[c]              (int8 operands)
//               clamp(acc + bias[c], low, high)         (float operands)
// where acc already includes column_offset[c] and the rank-one terms, modulo 2^32.
struct Epilogue {
  DType kind = DType::Int32;
  void* out = nullptr;
  Index row_stride = 0;  // elements of out
  const std::int32_t* column_offset = nullptr;
  RankOne terms[2] = {};
  int term_count = 0;
  const float* multiplier = nullptr;
  bool multipliers_below_1 = false;  // all of them: the product with an int32 fits int32
  std::int32_t zero_point = 0;
  std::int32_t low = 0, high = 0;
  const float* bias = nullptr;
  float float_low = 0, float_high = 0;
};

struct Range {
  Index begin, end;
};

// What a kernel adds to its int8 or uint8 activations; folds into their zero point. lhs_offset is 128 where the kernel wants uint8
// (int8 is moved), -128 where it wants int8 (uint8 is moved), and 0 where it takes both.
[[gnu::always_inline]] constexpr std::int32_t applied_offset(std::int32_t lhs_offset, bool is_signed) {
  return (lhs_offset > 0) == is_signed ? lhs_offset : 0;
}

// A tier's matrix product: the shape of its tile and its functions.
struct GemmKernels {
  Index rows, cols, lanes, depth;
  std::int32_t lhs_offset;  // see applied_offset
  Index rhs_element_size;
  Index code_register;     // weights in a register of the kernel: how codes of 4 bits are stored; 0 for float
  Index lhs_element_size;  // 2: the driver widens int8 activations, unless they come as int16 (Lhs::is_wide)
  // Writes the panels and, for int8, the sum of each column (after uint8 has been moved to int8 by -128). Returns Rhs::narrow.
  bool (*pack)(const RhsSource&, void* panels, std::int32_t* column_sums);
  // Computes rows x panels of the product.
  void (*run)(const Lhs&, const Rhs&, const Epilogue&, Range rows, Range panels);
};

}  // namespace qkern::gemm
