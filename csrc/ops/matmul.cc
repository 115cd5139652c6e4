#include "ops/matmul.h"

#include <algorithm>

#include "isa/kernel_table.h"

namespace qkern::ops {

gemm::PackedWeights pack(const void* data, Index depth, Index cols, Index depth_stride, Index col_stride, bool is_signed,
                         std::span<const std::int8_t> levels) {
  const gemm::RhsSource source{data, depth_stride, col_stride, cols, 1, depth, is_signed};
  return gemm::PackedWeights(isa::int8_kernels(isa::active_kernels(), {&source, 1}), source, levels);
}

gemm::Lhs as_lhs(const RowsView& a) {
  static constexpr Index no_offset = 0;
  return {a.data, std::max(a.rows, Index{1}), a.row_stride, 0, &no_offset, 1, a.depth, a.end, a.is_signed};
}

void matmul(const RowsView& a, gemm::ZeroPoints a_zero, const gemm::PackedWeights& b, gemm::ZeroPoints b_zero, std::int32_t* out) {
  const gemm::Lhs lhs = as_lhs(a);
  gemm::Epilogue epilogue;
  epilogue.kind = DType::Int32;
  epilogue.out = out;
  epilogue.row_stride = b.cols();
  gemm::correct(b, lhs, a.rows, a_zero, b_zero, epilogue);
  gemm::run(b, lhs, epilogue, a.rows);
}

}  // namespace qkern::ops
