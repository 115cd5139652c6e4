// y[m, n] = epilogue( sum over k of (x[m, k] - x_zero)(w[n, k] - w_zero[n]) + bias[n] ), weights packed once.
//
// Linear is the FP32 layer: y = clamp(x w^T + bias), one fused multiply-add per step of depth in order, so that every tier
// gives the same bits.
#pragma once

#include <span>
#include <vector>

#include "gemm/packed_weights.h"
#include "isa/kernel_table.h"
#include "ops/channels.h"
#include "ops/matmul.h"

namespace qkern::ops {

class QLinear {
 public:
  // weight [out, in] contiguous; w_scale, w_zero: 1 or `out` values; bias: none or `out`; levels: none, or 16 that weight consists of.
  QLinear(const void* weight, bool weight_signed, Index out_features, Index in_features, std::span<const float> w_scale,
          std::span<const std::int32_t> w_zero, std::span<const std::int32_t> bias, float x_scale, std::int32_t x_zero, const LayerOutput& output,
          std::span<const std::int8_t> levels = {});

  void run(const RowsView& x, void* y) const { run(x, y, nullptr); }
  // Then `finish`, on each block of y as soon as it is there. For a layer of codes.
  void run(const RowsView& x, void* y, const gemm::Finish& finish) const;

  Index in_features() const { return weights_.depth(); }
  Index out_features() const { return weights_.cols(); }
  const LayerOutput& output() const { return output_; }
  std::int32_t x_zero_point() const { return x_zero_; }
  std::size_t bytes() const { return weights_.bytes(); }
  int bits() const { return weights_.bits(); }
  const gemm::GemmKernels* tile() const { return &weights_.kernels(); }
  bool is_safe() const { return tile() == &kernels_.int8_safe; }  // as of Conv
  const char* isa() const { return kernels_.name; }

 private:
  void run(const RowsView& x, void* y, const gemm::CodeFinisher* finish) const;

  const isa::KernelTable& kernels_;
  gemm::PackedWeights weights_;
  LayerOutput output_;
  std::int32_t x_zero_;
  std::vector<std::int32_t> column_offset_[2];  // [0] uint8 activations, [1] int8
  std::vector<std::int32_t> column_zero_;       // none: the weights have no zero points
  std::vector<float> multiplier_;
  bool multipliers_below_1_;
};

class Linear {
 public:
  Linear(const float* weight, Index out_features, Index in_features, std::span<const float> bias, float low, float high);

  // x: rows of `depth` floats.
  void run(const RowsView& x, float* y) const;

  Index in_features() const { return weights_.depth(); }
  Index out_features() const { return weights_.cols(); }
  std::size_t bytes() const { return weights_.bytes(); }
  int bits() const { return weights_.bits(); }
  const gemm::GemmKernels* tile() const { return &weights_.kernels(); }
  const char* isa() const { return isa_; }

 private:
  const char* isa_;
  gemm::PackedWeights weights_;
  std::vector<float> bias_;
  float low_, high_;
};

}  // namespace qkern::ops
