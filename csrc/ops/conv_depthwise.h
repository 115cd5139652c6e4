// A convolution with as many groups as input and output channels: each channel has a window of its own. int8 and float32.
#pragma once

#include "conv/kernels.h"
#include "isa/kernel_table.h"
#include "ops/conv_route.h"

namespace qkern::ops {

class ConvDepthwise final : public ConvRoute {
 public:
  ConvDepthwise(const ConvWeights& weights, const ConvQuantization& quantization, const LayerOutput& output, const isa::KernelTable& kernels);
  ConvDepthwise(const ConvWeights& weights, std::span<const float> bias, const isa::KernelTable& kernels);

  ImageNeeds image_needs(DType dtype, const Window& window) const override;
  bool takes_bands() const override { return kernel_ != Kernel::Rows; }
  TapNeeds tap_needs() const override;
  Index work(Index rows) const override;
  void run(const ConvPlane& plane) const override;
  std::size_t bytes() const override;
  int bits() const override { return float_.empty() ? int16_.empty() ? 8 : 16 : 32; }
  std::string name() const override;
  const gemm::GemmKernels* tile() const override;

 private:
  // Which of the tier's kernels: any weights, a dot product of four taps, or (pairs of) image rows (conv/kernels.h).
  enum class Kernel { Taps, Dot, Rows };

  // Weights minus their zero points, [channel][tap], their sum per channel, and how the kernels want them.
  struct Centred {
    Centred(const ConvWeights& weights, const ConvQuantization& quantization);
    std::vector<std::int16_t> weights;
    std::vector<std::int32_t> sums;
  };
  ConvDepthwise(const ConvWeights& weights, const Centred& centred, const ConvQuantization& quantization, const LayerOutput& output,
                const conv::DepthwiseKernels& kernels);
  static Kernel choose(const Centred& centred, const Window& window, const conv::DepthwiseKernels& kernels);
  template <class T>
  std::vector<T> by_taps(const T* weights) const;
  std::vector<std::int8_t> for_dot(const Centred& centred) const;
  std::vector<std::int16_t> by_rows(const Centred& centred, const Window& window) const;
  Index lanes() const;
  std::vector<std::int32_t> column_offsets(const Centred& centred, std::int32_t x_zero, bool is_signed) const;
  // Into how many parts threads cut a plane: rows, and blocks of channels.
  struct Parts {
    Index down, across;
  };
  Parts parts_of(const conv::ImageRows& image, Index height) const;
  template <class Run>
  void share_rows(const ConvPlane& plane, Index rows, Index pixels, const Run& run) const;
  void run_rows(const ConvPlane& plane, const void* weights, const gemm::Epilogue& epilogue) const;
  void finish(const ConvPlane& plane, gemm::Range pixels, gemm::Range channels) const;

  conv::DepthwiseKernels kernels_;
  Index channels_, taps_;
  Kernel kernel_;
  std::int32_t x_zero_ = 0;
  std::vector<std::int8_t> dot_;     // Dot
  std::vector<std::int16_t> int16_;  // Taps, Rows
  std::vector<float> float_;         // Taps, Rows of a float convolution
  ChannelArrays channel_arrays_;
};

}  // namespace qkern::ops
