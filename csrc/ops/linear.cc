#include "ops/linear.h"

#include "isa/kernel_table.h"

namespace qkern::ops {
namespace {

std::int32_t add_wrapping(std::int32_t a, std::int32_t b) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) + static_cast<std::uint32_t>(b));
}

}  // namespace

QLinear::QLinear(const void* weight, bool weight_signed, Index out_features, Index in_features, std::span<const float> w_scale,
                 std::span<const std::int32_t> w_zero, std::span<const std::int32_t> bias, float x_scale, std::int32_t x_zero,
                 const LayerOutput& output, std::span<const std::int8_t> levels)
    : kernels_(isa::active_kernels()),
      weights_(pack(weight, in_features, out_features, 1, in_features, weight_signed, levels)),
      output_(output),
      x_zero_(x_zero),
      column_zero_(gemm::column_zeros(weights_, w_zero)),
      multiplier_(multipliers(x_scale, w_scale, out_features, output)),
      multipliers_below_1_(are_below_1(multiplier_)) {
  multiplier_.resize(static_cast<std::size_t>(weights_.padded_cols()));
  for (const bool is_signed : {false, true}) {
    auto& offset = column_offset_[is_signed];
    offset = gemm::column_offsets(weights_, is_signed, x_zero);
    for (std::size_t c = 0; c < bias.size(); ++c) offset[c] = add_wrapping(offset[c], bias[c]);
  }
}

void QLinear::run(const RowsView& x, void* y, const gemm::Finish& finish) const {
  const gemm::CodeFinisher finisher(kernels_.elementwise, finish, y, output_.dtype, out_features(), out_features());
  run(x, y, &finisher);
}

void QLinear::run(const RowsView& x, void* y, const gemm::CodeFinisher* finish) const {
  const gemm::Lhs lhs = as_lhs(x);
  gemm::Epilogue epilogue = make_epilogue(output_);
  epilogue.out = y;
  epilogue.row_stride = out_features();
  epilogue.multiplier = multiplier_.data();
  epilogue.multipliers_below_1 = multipliers_below_1_;
  epilogue.column_offset = column_offset_[x.is_signed].data();
  if (!column_zero_.empty()) epilogue.terms[epilogue.term_count++] = gemm::row_sum_term(weights_, lhs, x.rows, {&x_zero_, 1}, column_zero_.data());
  gemm::run(weights_, lhs, epilogue, x.rows, finish);
}

Linear::Linear(const float* weight, Index out_features, Index in_features, std::span<const float> bias, float low, float high)
    : isa_(isa::active_kernels().name),
      weights_(isa::active_kernels().float32, {weight, 1, in_features, out_features, 1, in_features, true}),
      bias_(bias.begin(), bias.end()),
      low_(low),
      high_(high) {
  bias_.resize(static_cast<std::size_t>(weights_.padded_cols()));
}

void Linear::run(const RowsView& x, float* y) const {
  gemm::Lhs lhs = as_lhs(x);
  lhs.end = nullptr;  // a depth group is one float: nothing is read past a row
  gemm::Epilogue epilogue;
  epilogue.kind = DType::Float32;
  epilogue.out = y;
  epilogue.row_stride = out_features();
  epilogue.bias = bias_.data();
  epilogue.float_low = low_;
  epilogue.float_high = high_;
  gemm::run(weights_, lhs, epilogue, x.rows);
}

}  // namespace qkern::ops
