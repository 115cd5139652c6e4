// y[n, p, o] = epilogue( sum over window positions t, channels i of (x[n, p * stride + t * dilation - pad, i] - x_zero)
//                                                                 (w[o, i, t] - w_zero[o]) + bias[o] )
//
// Borders hold x_zero, so padding contributes nothing. Groups are separate products over slices of the channels; one channel
// per group, one output each, is a kernel of its own (depthwise). FP32 convolutions take the same road with the tier's FP32 kernels.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "gemm/packed_weights.h"
#include "ops/channels.h"
#include "ops/conv_image.h"

namespace qkern::ops {

// weight [out, in / groups, kernel...] contiguous, in the caller's dtype: Int8, Uint8 or Float32.
struct ConvWeights {
  const void* data;
  DType dtype;
  Index out_channels, in_channels, groups;
  Window window;
};

class Conv {
 public:
  // int8: w_zero 1 or `out` values, bias none or `out`, w_scale 1 or `out` (unused where output.dtype is Int32).
  Conv(const ConvWeights& weights, std::span<const float> w_scale, std::span<const std::int32_t> w_zero, std::span<const std::int32_t> bias,
       float x_scale, std::int32_t x_zero, const LayerOutput& output, Layout layout);
  // float: y = clamp(acc + bias, low, high)
  Conv(const ConvWeights& weights, std::span<const float> bias, float low, float high, Layout layout);

  // x contiguous in the layer's layout, dtype Int8/Uint8 (or Float32 for a float layer); image.channels = in_channels.
  // `window`: the layer's, with the padding that this image needs ("same" depends on its size).
  // y contiguous in the same layout, of output_size(image, window) pixels, which must not be negative.
  void run(const void* x, DType x_dtype, const ImageShape& image, const Window& window, void* y) const;

  const Window& window() const { return window_; }
  Index in_channels() const { return in_channels_; }
  Index out_channels() const { return out_channels_; }
  const LayerOutput& output() const { return output_; }
  std::int32_t x_zero_point() const { return x_zero_; }
  Layout layout() const { return layout_; }
  bool is_float() const { return is_float_; }
  std::size_t bytes() const;
  const char* isa() const { return isa_; }

 private:
  struct Merged {};  // groups are as narrow as they will be
  Conv(Merged, const ConvWeights& weights, std::span<const float> w_scale, std::span<const std::int32_t> w_zero, std::span<const std::int32_t> bias,
       float x_scale, std::int32_t x_zero, const LayerOutput& output, Layout layout);
  void pack_groups(const ConvWeights& weights, const gemm::GemmKernels& kernels);
  void pack_depthwise(const ConvWeights& weights);
  void pack_depthwise_dot();
  void pack_depthwise_rows();
  Index depthwise_lanes() const {
    return dot_ ? depthwise_kernels_.dot_channels : by_rows_ ? depthwise_kernels_.row_channels : depthwise_kernels_.lanes;
  }
  void set_channel_arrays(std::span<const float> w_scale, std::span<const std::int32_t> bias, float x_scale);
  bool may_overrun(const ImageShape& image) const;
  void run_plane(gemm::Lhs lhs, gemm::Epilogue epilogue, Index rows) const;
  void run_plane_by_rows(const PreparedImage& image, const Window& window, const gemm::Lhs& lhs, gemm::Epilogue epilogue, Index rows) const;
  void run_group(gemm::Lhs lhs, gemm::Epilogue epilogue, Index rows, std::size_t group) const;

  const char* isa_;
  Window window_;
  Index in_channels_, out_channels_, groups_;
  bool is_float_, depthwise_, merge_width_;
  LayerOutput output_;
  Layout layout_;
  std::int32_t x_zero_ = 0;
  float low_ = 0, high_ = 0;
  gemm::DepthwiseKernels depthwise_kernels_{};
  std::vector<gemm::PackedWeights> packed_;   // one per group
  bool dot_ = false;                          // depthwise with the tier's dot-product kernel
  bool by_rows_ = false;                      // depthwise with the tier's kernel for pairs of rows
  std::vector<std::int8_t> depthwise_dot_;    // [channel block][tap group][dot_channels][4]
  std::vector<std::int16_t> depthwise_int8_;  // [tap group][channels padded][tap_group], or as run_rows wants it; zero point subtracted
  std::vector<float> depthwise_float_;        // [tap][channels padded]
  std::vector<std::int32_t> depthwise_sums_;  // per channel
  std::vector<std::int32_t> w_zero_;          // one per output channel
  // Per channel, each group padded to whole vectors: [0] for uint8 activations, [1] for int8.
  std::vector<std::int32_t> column_offset_[2];
  std::vector<float> multiplier_, float_bias_;
};

}  // namespace qkern::ops
