// max:      y[n, p, c] = max over window positions of x          (padding never wins)
// average:  y[n, p, c] = round_half_even( sum of (x - x_zero) * x_scale / (y_scale * count) ) + y_zero, saturated
//           count = positions inside the image, or all with count_include_pad; float: sum / count
#pragma once

#include "ops/channels.h"
#include "ops/conv_image.h"

namespace qkern::ops {

// What the shapes of a call decide: made once, it serves any number of calls, on any thread.
struct PoolPlan {
  DType dtype;  // Int8, Uint8, Float32
  Layout layout;
  Window window;
  Sizes out;  // size of the output, which must not be negative
  ImagePlan image;
  std::vector<Index> tap_offsets;  // none: the output is empty
};
PoolPlan plan_pool(DType dtype, const ImageShape& image, const Window& window, Layout layout);

// x, y contiguous in plan.layout; y has plan.out pixels and x's dtype. Allocates nothing where the thread's scratch memory is warm;
// neither does average_pool.
void max_pool(const PoolPlan& plan, const void* x, void* y);

struct AveragePool {
  bool count_include_pad;
  float x_scale;
  std::int32_t x_zero_point;
  LayerOutput output;  // of Int8/Uint8, or Float32 for float input (scales unused)
};

void average_pool(const PoolPlan& plan, const AveragePool& pool, const void* x, void* y);

}  // namespace qkern::ops
