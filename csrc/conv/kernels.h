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

}  // namespace qkern::conv
