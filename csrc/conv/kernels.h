// What crosses the border between a convolution that is no matrix product (baseline code) and a tier's kernels: plain data.
#pragma once

#include "gemm/gemm.h"

namespace qkern::conv {

// One plane of an image, channels last, and the window that slides over it; what lies outside of the image is `fill`. Output row r
// starts at image row r * stride_height - pad_top.
struct ImageRows {
  const void* data;
  Index height, width, channels;
  bool is_signed;
  std::uint8_t fill;
  Index out_width;
  Index kernel_height, kernel_width, stride_height, stride_width, dilation_height, dilation_width, pad_top, pad_left;
  gemm::Range blocks;  // of row_channels channels: those that are computed (int8; float: all)
};

// A depthwise convolution: one channel in, one out; lhs taps are window positions, tap_depth = channels.
struct DepthwiseKernels {
  Index lanes;  // channels are padded to a multiple, in the weights and as readable bytes behind the input
  // weights[tap group][channels padded][tap_group]: int16 with the zero point subtracted, or float. Taps (their offsets too) are
  // padded to a multiple of tap_group, with zero weights.
  Index tap_group;
  void (*run)(const gemm::Lhs&, const void* weights, const gemm::Epilogue&, gemm::Range rows);
  // For int8 weights without a zero point, where the tier has such a kernel: weights [channel block][tap group][dot_channels][4];
  // tap_offsets are padded to a multiple of 4, channels to a multiple of dot_channels. lhs_offset as in gemm::GemmKernels.
  Index dot_channels = 0;
  std::int32_t lhs_offset = 0;
  void (*run_dot)(const gemm::Lhs&, const void* weights, const gemm::Epilogue&, gemm::Range rows) = nullptr;
  // For windows of several rows without dilation between them, where the tier has such a kernel (conv/depthwise_rows.h): weights
  // [channel block][first row even, odd][kernel_height / 2 + 1][kernel_width][row_channels][2], int16 with the zero point subtracted.
  // The last block of channels ends with the last channel; fewer than row_channels are padded. `rows` of the output, not pixels.
  // Float: windows of a plane, any dilation (conv/depthwise_float.h), weights as for `run`.
  Index row_channels = 0;
  void (*run_rows)(const ImageRows&, const void* weights, const gemm::Epilogue&, gemm::Range rows) = nullptr;
};

// Images one after the other, channels last, under a 3x3 window of stride 1; what lies outside of an image is `fill`. The product takes `depth` of
// the channels, from `data` on.
struct WinogradImage {
  const void* data;
  Index height, width, channels, depth;
  bool is_signed;
  std::uint8_t fill;
  Index pad_top, pad_left, out_height, out_width;
};

// Right operand as packed: panels of the kernel's columns (the last one narrower, a multiple of its lanes), each
// [position][depth group][lane][depth], zero padded.
struct WinogradWeights {
  const std::int16_t* panels;
  Index cols;
};

// F(tile x tile, 3x3) on a tier (conv/winograd.h). Tiles are numbered along the rows of each image, images one after the other.
struct WinogradKernel {
  Index tile, positions;  // pixels of an output tile; products per tile: positions^2
  std::int64_t limit;     // a sum y is right where -limit <= y < limit
  // weights [cols][depth][3][3], int8 or uint8, to panels
  void (*pack)(const void* weights, bool is_signed, Index cols, Index depth, std::int16_t* panels);
  void (*run)(const WinogradImage&, const WinogradWeights&, const gemm::Epilogue&, gemm::Range tiles, gemm::Range panels);
};
// What a convolution costs, in nanoseconds where it was measured; only ratios count.
struct ConvCost {
  double call;
  double input, output;       // per pixel (Winograd: tile) and channel, per pixel (tile) and column
  double product;             // per multiply-add
  double weight, far_weight;  // per byte of packed weights and block of tiles: where they stay in L2, and where not
};
struct WinogradCosts {
  ConvCost direct, form[2];
  ConvCost direct_safe{};  // of weights that the tier has a faster kernel for (gemm/saturation.h)
};

struct WinogradKernels {
  Index rows, cols, lanes, depth;  // of the tile of a product
  Index channels;                  // of a vector of the input transform
  const WinogradCosts* costs;      // null: `auto` is always direct
  WinogradKernel form[2];          // F(2x2, 3x3), F(4x4, 3x3)
};

}  // namespace qkern::conv
