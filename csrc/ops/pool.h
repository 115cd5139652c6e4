// max:      y[n, p, c] = max over window positions of x          (padding never wins)
// average:  y[n, p, c] = round_half_even( sum of (x - x_zero) * x_scale / (y_scale * count) ) + y_zero, saturated
//           count = positions inside the image, or all with count_include_pad; float: sum / count
#pragma once

#include "ops/channels.h"
#include "ops/conv_image.h"

namespace qkern::ops {

// x, y contiguous in `layout`; y has output_size(image, window) pixels and x's dtype (Int8, Uint8, Float32).
void max_pool(const void* x, DType dtype, const ImageShape& image, const Window& window, Layout layout, void* y);

struct AveragePool {
  Window window;
  bool count_include_pad;
  float x_scale;
  std::int32_t x_zero_point;
  LayerOutput output;  // of Int8/Uint8, or Float32 for float input (scales unused)
};

void average_pool(const void* x, DType dtype, const ImageShape& image, const AveragePool& pool, Layout layout, void* y);

}  // namespace qkern::ops
