// Baseline code around a tier's matrix product: zero points, and splitting the work over threads.
//
//   sum (a - za)(b - zb) = sum a' b'  -  za' sum b'  -  zb' (sum a - depth za)
//
// with b' = b - shift as packed and zb' = zb - shift; a' = a + offset as the kernel sees it and za' = za + offset. The first
// term is the kernel's; the second one number per column; the third a product of a row and a column vector, absent where zb' = 0.
#pragma once

#include <span>
#include <vector>

#include "gemm/finish.h"
#include "gemm/gemm.h"
#include "gemm/packed_weights.h"

namespace qkern::gemm {

// One zero point, or one per row / column.
using ZeroPoints = std::span<const std::int32_t>;

// Adds to `epilogue` what turns the kernel's sum into the exact one. It is in scratch memory of this thread, until its next product;
// `lhs` and its `rows` are read where a weight zero point makes row sums necessary.
void correct(const PackedWeights& weights, const Lhs& lhs, Index rows, ZeroPoints lhs_zero, ZeroPoints rhs_zero, Epilogue& epilogue);

// The parts of it for a layer, which keeps what its weights alone decide:
// -za' * column sum of each column, the part that needs no activations: for a layer with one zero point per operand.
std::vector<std::int32_t> column_offsets(const PackedWeights& weights, bool lhs_signed, std::int32_t lhs_zero);

// zb' of each column; empty where all are 0.
std::vector<std::int32_t> column_zeros(const PackedWeights& weights, ZeroPoints rhs_zero);

// The third term, its row sums in scratch memory likewise. `column_zero`: of padded_cols() columns, as from column_zeros().
RankOne row_sum_term(const PackedWeights& weights, const Lhs& lhs, Index rows, ZeroPoints lhs_zero, const std::int32_t* column_zero);

// Multiply-adds that take about as long as one unit of threading::worth_a_thread: a tile does dozens at once. A second thread then joins
// from a million on (15 us on avx2, 3 us on avx512_vnni); waking one costs as much.
inline constexpr Index products_per_unit = 8;

// Runs the product on the threads it is worth. `finish`: of a result of codes, or null.
void run(const PackedWeights& weights, const Lhs& lhs, const Epilogue& epilogue, Index rows, const CodeFinisher* finish = nullptr);

}  // namespace qkern::gemm
