// y[n, p, o] = epilogue( sum over window positions t, channels i of (x[n, p * stride + t * dilation - pad, i] - x_zero)
//                                                                 (w[o, i, t] - w_zero[o]) + bias[o] )
//
// Borders hold x_zero, so padding contributes nothing. Groups are separate products over slices of the channels; one channel
// per group, one output each, is a kernel of its own (depthwise). FP32 convolutions take the same road with the tier's FP32 kernels.
#pragma once

#include <memory>

#include "isa/kernel_table.h"
#include "ops/conv_route.h"
#include "ops/conv_winograd.h"

namespace qkern::ops {

// What a call needs that its shapes decide: made once, it serves any number of calls, on any thread.
struct ConvPlan {
  DType x_dtype;  // of the codes, where x is quantized
  Window window;
  Index batch;
  Sizes out;  // size of the output
  ImagePlan image;
  std::vector<Index> tap_offsets;
  Index taps, tap_depth;
  Index planes, plane_rows;  // matrices, and the rows of each
  Index inner_rows;          // of them, at one distance: gemm::Lhs
  Index y_stride;            // elements of y from pixel to pixel, channels last: more than out_channels where y is a part of something
  const ConvWinograd::Form* winograd = nullptr;  // else by the layer's route
};

// y = quantize(x, scale, zero_point), to int8 or uint8
struct Quantizer {
  float scale;
  std::int32_t zero_point;
  DType dtype;
};

class Conv {
 public:
  // Throws std::invalid_argument where the layer can't be computed by `algorithm`. `budget`: the network's, or null.
  Conv(const ConvWeights& weights, const ConvQuantization& quantization, const LayerOutput& output, Layout layout, Algorithm algorithm,
       std::shared_ptr<PackingBudget> budget = nullptr);
  // float: y = clamp(acc + bias, low, high), bias one per output channel
  Conv(const ConvWeights& weights, std::span<const float> bias, float low, float high, Layout layout);

  // For x of this shape, dtype Int8/Uint8 (or Float32 for a float layer); image.channels = in_channels. `window`: the layer's, with
  // the padding that this image needs ("same" depends on its size); output_size(image, window) must not be negative.
  ConvPlan plan(DType x_dtype, const ImageShape& image, const Window& window) const;
  // For x of float32 in an order of its own, quantized as it is copied: the same codes as quantize() gives, turned to the layer's layout.
  ConvPlan plan(const Quantizer& quantizer, Layout x_layout, const ImageShape& image, const Window& window) const;
  // x and y contiguous in the layer's layout; y has plan.out pixels. Allocates nothing where the thread's scratch memory is warm.
  void run(const ConvPlan& plan, const void* x, void* y) const;
  // Then `finish`, on each block of y as soon as it is there. For a layer of codes; throws
  // std::invalid_argument where it isn't channels last.
  void run(const ConvPlan& plan, const void* x, void* y, const gemm::Finish& finish) const;

  const Window& window() const { return window_; }
  Index in_channels() const { return in_channels_; }
  Index out_channels() const { return out_channels_; }
  Index groups() const { return groups_; }
  const LayerOutput& output() const { return output_; }
  std::int32_t x_zero_point() const { return x_zero_; }
  Layout layout() const { return layout_; }
  bool is_float() const { return is_float_; }
  // Of packed weights. Where images decide how the layer is computed, each way is packed for the first of its images, from a copy of the
  // weights, which counts too.
  std::size_t bytes() const { return route_.bytes() + (winograd_ ? winograd_->bytes() : 0); }
  int bits() const { return route_->bits(); }
  // "auto" where images decide.
  std::string route() const { return winograd_ ? winograd_->name() : route_->name(); }
  std::string route(const ConvPlan& plan) const { return plan.winograd ? plan.winograd->name : route_->name(); }
  const gemm::GemmKernels* tile() const { return winograd_ ? &kernels_.int8 : route_->tile(); }
  // Whether products are by the kernel of saturation-safe weights (gemm/saturation.h), where it isn't Winograd's.
  bool is_safe() const { return route_->tile() == &kernels_.int8_safe; }
  const char* isa() const { return kernels_.name; }

 private:
  ConvPlan plan(DType x_dtype, Layout x_layout, const ImageShape& image, const Window& window, const std::optional<ImageQuantizer>& quantizer) const;
  void run(const ConvPlan& plan, const void* x, void* y, const gemm::CodeFinisher* finish) const;
  // Into how many parts each plane is cut, rows together; 0: the image is prepared as a whole.
  Index bands_of_plane(const ConvPlan& plan) const;
  void run_bands(const ConvPlan& plan, Index bands, const void* x, const void* fill, const gemm::Epilogue& epilogue,
                 const gemm::CodeFinisher* finish) const;
  void run_planes(const ConvPlan& plan, const PreparedImage& prepared, const gemm::Epilogue& epilogue, const gemm::CodeFinisher* finish) const;
  // Output rows (of all planes) from `image`, whose plane `plane` has their windows.
  void run_rows(const ConvPlan& plan, const PreparedImage& image, Index plane, gemm::Range rows, const gemm::Epilogue& epilogue,
                const gemm::CodeFinisher* finish) const;

  const isa::KernelTable& kernels_;
  Window window_;
  Index in_channels_, out_channels_, groups_;
  bool is_float_;
  LayerOutput output_;
  Layout layout_;
  std::int32_t x_zero_ = 0;
  float low_ = 0, high_ = 0;
  std::unique_ptr<const ConvWinograd> winograd_;  // or null
  LateRoute route_;                               // where it isn't by Winograd
};

}  // namespace qkern::ops
