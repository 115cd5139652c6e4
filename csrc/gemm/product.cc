#include "gemm/product.h"

#include <algorithm>

#include "tensor/scratch.h"
#include "threading/parallel_for.h"

namespace qkern::gemm {
namespace {

std::int32_t wrap(std::uint32_t value) { return static_cast<std::int32_t>(value); }
std::uint32_t bits(std::int64_t value) { return static_cast<std::uint32_t>(value); }

template <class T>
std::uint32_t row_sum(const Lhs& lhs, Index row) {
  const T* start = static_cast<const T*>(lhs.data) + row / lhs.inner_rows * lhs.outer_stride + row % lhs.inner_rows * lhs.inner_stride;
  std::uint32_t sum = 0;
  for (Index tap = 0; tap < lhs.taps; ++tap) {
    const T* run = start + lhs.tap_offsets[tap];
    for (Index d = 0; d < lhs.tap_depth; ++d) sum += static_cast<std::uint32_t>(run[d]);
  }
  return sum;
}

std::int32_t at(ZeroPoints zero, Index i) { return zero[zero.size() == 1 ? 0 : static_cast<std::size_t>(i)]; }

void fill_column_offsets(const PackedWeights& weights, bool lhs_signed, std::int32_t lhs_zero, std::int32_t* offsets) {
  const std::uint32_t zero = bits(lhs_zero) + bits(applied_offset(weights.kernels().lhs_offset, lhs_signed));
  std::transform(weights.column_sums().begin(), weights.column_sums().end(), offsets,
                 [zero](std::int32_t sum) { return wrap(0u - zero * bits(sum)); });
}

// Returns whether one of them isn't 0.
bool fill_column_zeros(const PackedWeights& weights, ZeroPoints rhs_zero, std::int32_t* zeros) {
  if (std::all_of(rhs_zero.begin(), rhs_zero.end(), [&](std::int32_t zero) { return zero == weights.shift(); })) return false;
  for (Index c = 0; c < weights.cols(); ++c) zeros[c] = at(rhs_zero, c) - weights.shift();
  std::fill(zeros + weights.cols(), zeros + weights.padded_cols(), 0);
  return true;
}

std::int32_t* scratch(tensor::Scratch name, Index count) {
  return static_cast<std::int32_t*>(tensor::scratch(name, static_cast<std::size_t>(count) * sizeof(std::int32_t)));
}

}  // namespace

std::vector<std::int32_t> column_offsets(const PackedWeights& weights, bool lhs_signed, std::int32_t lhs_zero) {
  std::vector<std::int32_t> offsets(static_cast<std::size_t>(weights.padded_cols()));
  fill_column_offsets(weights, lhs_signed, lhs_zero, offsets.data());
  return offsets;
}

std::vector<std::int32_t> column_zeros(const PackedWeights& weights, ZeroPoints rhs_zero) {
  std::vector<std::int32_t> zeros(static_cast<std::size_t>(weights.padded_cols()));
  if (!fill_column_zeros(weights, rhs_zero, zeros.data())) zeros.clear();
  return zeros;
}

RankOne row_sum_term(const PackedWeights& weights, const Lhs& lhs, Index rows, ZeroPoints lhs_zero, const std::int32_t* column_zero) {
  std::int32_t* const sums = scratch(tensor::Scratch::RowSums, rows);
  threading::parallel_for(rows, weights.depth(), [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      const std::uint32_t sum = lhs.is_wide     ? row_sum<std::int16_t>(lhs, r)
                                : lhs.is_signed ? row_sum<std::int8_t>(lhs, r)
                                                : row_sum<std::uint8_t>(lhs, r);
      sums[r] = wrap(bits(weights.depth()) * bits(at(lhs_zero, r)) - sum);
    }
  });
  return {sums, column_zero};
}

void correct(const PackedWeights& weights, const Lhs& lhs, Index rows, ZeroPoints lhs_zero, ZeroPoints rhs_zero, Epilogue& epilogue) {
  const Index padded = weights.padded_cols();
  const bool one_zero = lhs_zero.size() == 1;
  std::int32_t* const column_offset = scratch(tensor::Scratch::ZeroPointTerms, 2 * padded + (one_zero ? 0 : rows));
  std::int32_t *const column_zero = column_offset + padded, *const row_zero = column_zero + padded;
  fill_column_offsets(weights, lhs.is_signed, one_zero ? lhs_zero[0] : 0, column_offset);
  epilogue.column_offset = column_offset;
  epilogue.term_count = 0;
  if (!one_zero) {
    for (Index r = 0; r < rows; ++r) row_zero[r] = wrap(0u - bits(at(lhs_zero, r)));
    epilogue.terms[epilogue.term_count++] = {row_zero, weights.column_sums().data()};
  }
  if (fill_column_zeros(weights, rhs_zero, column_zero)) {
    epilogue.terms[epilogue.term_count++] = row_sum_term(weights, lhs, rows, lhs_zero, column_zero);
  }
}

void run(const PackedWeights& weights, const Lhs& lhs, const Epilogue& epilogue, Index rows, const CodeFinisher* finish) {
  const GemmKernels& kernels = weights.kernels();
  const Index row_tiles = divide_up(rows, kernels.rows), panels = weights.panels(), cols = weights.cols();
  if (row_tiles == 0 || panels == 0) return;
  const Index depth = std::max(weights.depth(), Index{1});
  const Rhs rhs = weights.rhs();
  const auto run_block = [&](Range block_rows, Range block_panels) {
    kernels.run(lhs, rhs, epilogue, block_rows, block_panels);
    if (finish == nullptr) return;
    const Range block_cols{block_panels.begin * kernels.cols, std::min(block_panels.end * kernels.cols, cols)};
    auto* const out = static_cast<unsigned char*>(epilogue.out) + block_rows.begin * epilogue.row_stride + block_cols.begin;
    (*finish)(out, epilogue.row_stride, block_rows.end - block_rows.begin, block_cols.end - block_cols.begin);
  };
  if (row_tiles >= panels) {
    const Index most = finish == nullptr ? row_tiles : std::max(CodeFinisher::block_bytes / (kernels.rows * cols), Index{4});
    threading::parallel_for(row_tiles, divide_up(divide_up(rows, row_tiles) * cols * depth, products_per_unit), [&](Index begin, Index end) {
      for (Index tile = begin; tile < end; tile += most) {
        run_block({tile * kernels.rows, std::min(std::min(tile + most, end) * kernels.rows, rows)}, {0, panels});
      }
    });
  } else {
    threading::parallel_for(panels, divide_up(divide_up(cols, panels) * rows * depth, products_per_unit), [&](Index begin, Index end) {
      run_block({0, rows}, {begin, end});
    });
  }
}

}  // namespace qkern::gemm
