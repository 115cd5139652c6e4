#include "ops/quantize.h"

#include "isa/kernel_table.h"
#include "ops/for_each_channel.h"

namespace qkern::ops {

void quantize(const float* x, AxisView view, std::span<const float> scale, std::span<const std::int32_t> zero_point, DType dtype, void* y) {
  const auto& kernels = isa::active_kernels().elementwise;
  auto* out = static_cast<unsigned char*>(y);
  const auto one = [&](Index start, Index count, std::size_t channel) {
    kernels.quantize(x + start, count, scale[channel], zero_point[channel], dtype, out + start);
  };
  for_each_channel(
      view, [&](Index start, Index count) { one(start, count, 0); },
      [&](Index start) { kernels.quantize_each(x + start, view.channels, scale.data(), zero_point.data(), dtype, out + start); },
      [&](Index start, Index channel) { one(start, view.inner, static_cast<std::size_t>(channel)); });
}

void dequantize(const void* q, DType dtype, AxisView view, std::span<const float> scale, std::span<const std::int32_t> zero_point, float* y) {
  const auto& kernels = isa::active_kernels().elementwise;
  const auto* in = static_cast<const unsigned char*>(q);
  const Index size = size_of(dtype);
  const auto one = [&](Index start, Index count, std::size_t channel) {
    kernels.dequantize(in + start * size, dtype, count, scale[channel], zero_point[channel], y + start);
  };
  for_each_channel(
      view, [&](Index start, Index count) { one(start, count, 0); },
      [&](Index start) { kernels.dequantize_each(in + start * size, dtype, view.channels, scale.data(), zero_point.data(), y + start); },
      [&](Index start, Index channel) { one(start, view.inner, static_cast<std::size_t>(channel)); });
}

}  // namespace qkern::ops
