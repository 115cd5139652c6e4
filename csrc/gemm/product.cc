#include "gemm/product.h"

#include <algorithm>

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

}  // namespace

std::vector<std::int32_t> column_offsets(const PackedWeights& weights, bool lhs_signed, std::int32_t lhs_zero) {
  const std::uint32_t zero = bits(lhs_zero) + bits(applied_offset(weights.kernels().lhs_offset, lhs_signed));
  std::vector<std::int32_t> offsets(static_cast<std::size_t>(weights.padded_cols()));
  std::transform(weights.column_sums().begin(), weights.column_sums().end(), offsets.begin(),
                 [zero](std::int32_t sum) { return wrap(0u - zero * bits(sum)); });
  return offsets;
}

bool needs_row_sums(const PackedWeights& weights, ZeroPoints rhs_zero) {
  return std::any_of(rhs_zero.begin(), rhs_zero.end(), [&](std::int32_t zero) { return zero != weights.shift(); });
}

Corrections::Corrections(const PackedWeights& weights, const Lhs& lhs, Index rows, ZeroPoints lhs_zero, ZeroPoints rhs_zero)
    : column_offset_(column_offsets(weights, lhs.is_signed, lhs_zero.size() == 1 ? lhs_zero[0] : 0)), column_sums_(weights.column_sums().data()) {
  if (lhs_zero.size() != 1) {
    row_zero_.resize(static_cast<std::size_t>(rows));
    for (Index r = 0; r < rows; ++r) row_zero_[static_cast<std::size_t>(r)] = wrap(0u - bits(lhs_zero[static_cast<std::size_t>(r)]));
  }
  if (needs_row_sums(weights, rhs_zero)) {
    row_sum_.resize(static_cast<std::size_t>(rows));
    threading::parallel_for(rows, weights.depth(), [&](Index begin, Index end) {
      for (Index r = begin; r < end; ++r) {
        const std::uint32_t sum = lhs.is_wide     ? row_sum<std::int16_t>(lhs, r)
                                  : lhs.is_signed ? row_sum<std::int8_t>(lhs, r)
                                                  : row_sum<std::uint8_t>(lhs, r);
        row_sum_[static_cast<std::size_t>(r)] = wrap(bits(weights.depth()) * bits(at(lhs_zero, r)) - sum);
      }
    });
    column_zero_.resize(static_cast<std::size_t>(weights.padded_cols()));
    for (Index c = 0; c < weights.cols(); ++c) column_zero_[static_cast<std::size_t>(c)] = at(rhs_zero, c) - weights.shift();
  }
}

void Corrections::apply(Epilogue& epilogue) const {
  epilogue.column_offset = column_offset_.data();
  epilogue.term_count = 0;
  if (!row_zero_.empty()) epilogue.terms[epilogue.term_count++] = {row_zero_.data(), column_sums_};
  if (!row_sum_.empty()) epilogue.terms[epilogue.term_count++] = {row_sum_.data(), column_zero_.data()};
}

void run(const PackedWeights& weights, const Lhs& lhs, const Epilogue& epilogue, Index rows) {
  const GemmKernels& kernels = weights.kernels();
  const Index row_tiles = divide_up(rows, kernels.rows), panels = weights.panels();
  if (row_tiles == 0 || panels == 0) return;
  const Index depth = std::max(weights.depth(), Index{1});
  const Rhs rhs = weights.rhs();
  if (row_tiles >= panels) {
    threading::parallel_for(row_tiles, divide_up(divide_up(rows, row_tiles) * weights.cols() * depth, products_per_unit),
                            [&](Index begin, Index end) {
                              kernels.run(lhs, rhs, epilogue, {begin * kernels.rows, std::min(end * kernels.rows, rows)}, {0, panels});
                            });
  } else {
    threading::parallel_for(panels, divide_up(divide_up(weights.cols(), panels) * rows * depth, products_per_unit), [&](Index begin, Index end) {
      kernels.run(lhs, rhs, epilogue, {0, rows}, {begin, end});
    });
  }
}

}  // namespace qkern::gemm
