// How threads share a layer that is computed by Winograd, and what each way to compute it costs: what `auto` goes by.
#pragma once

#include "isa/kernel_table.h"
#include "ops/conv_image.h"

namespace qkern::ops {

// Sizes of a 3x3 convolution of stride 1: planes (batch x depth) of outputs; channels of a group.
struct ConvSizes {
  Index planes, height, width, groups, depth, cols;
};

// A layer cut into blocks of tiles, and of panels of columns where there are fewer blocks than threads.
struct WinogradBlocks {
  WinogradBlocks(const conv::WinogradKernels& kernels, const conv::WinogradKernel& form, const ConvSizes& sizes);

  Index all_tiles, all_panels;  // of a group
  Index tiles, panels;          // of a block
  Index down, across;           // blocks
  Index work;                   // of one, in units of threading::worth_a_thread
};

// Nanoseconds on the threads that there are, by the tier's measured constants.
double direct_cost(const conv::WinogradKernels& kernels, bool safe_weights, const ConvSizes& sizes);
double winograd_cost(const conv::WinogradKernels& kernels, int form, const ConvSizes& sizes);

}  // namespace qkern::ops
