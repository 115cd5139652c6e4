// A convolution as matrix products: a row per output pixel, a column per output channel, one product per group of channels (a dense
// convolution has one group). int8 and float32.
#pragma once

#include "gemm/packed_weights.h"
#include "isa/kernel_table.h"
#include "ops/conv_route.h"

namespace qkern::ops {

class ConvGroups final : public ConvRoute {
 public:
  ConvGroups(const ConvWeights& weights, const ConvQuantization& quantization, const LayerOutput& output, const isa::KernelTable& kernels);
  ConvGroups(const ConvWeights& weights, std::span<const float> bias, const isa::KernelTable& kernels);

  ImageNeeds image_needs(DType dtype, const Window& window) const override;
  bool takes_bands() const override { return true; }
  TapNeeds tap_needs() const override;
  Index work(Index rows) const override;
  void run(const ConvPlane& plane) const override;
  std::size_t bytes() const override;
  int bits() const override { return packed_[0].bits(); }
  std::string name() const override;
  const gemm::GemmKernels* tile() const override;

 private:
  struct Merged {};
  ConvGroups(Merged, const ConvWeights& merged, const ConvQuantization& quantization, const LayerOutput& output, const isa::KernelTable& kernels);
  Index column(Index channel) const { return channel / group_out_ * packed_[0].padded_cols() + channel % group_out_; }
  std::vector<std::int32_t> column_offsets(bool is_signed, std::int32_t x_zero) const;

  Index taps_, group_in_, group_out_;
  Index merged_ = 1;  // groups of the layer in one product
  bool merges_width_;
  std::vector<gemm::PackedWeights> packed_;  // one per group
  std::int32_t x_zero_ = 0;
  std::vector<std::vector<std::int32_t>> column_zero_;  // of each group: gemm::column_zeros; float: none
  ChannelArrays channels_;
};

}  // namespace qkern::ops
