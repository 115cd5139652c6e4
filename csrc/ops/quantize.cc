#include "ops/quantize.h"

#include "isa/kernel_table.h"
#include "ops/for_each_channel.h"

namespace qkern::ops {

void quantize(const float* x, AxisView view, std::span<const float> scale, std::span<const std::int32_t> zero_point, DType dtype, void* y) {
  const auto& kernels = isa::active_kernels().elementwise;
  auto* out = static_cast<unsigned char*>(y);
  const auto same = [&](Index start, Index count, Index channel) {
    const auto c = static_cast<std::size_t>(channel);
    kernels.quantize(x + start, count, scale[c], zero_point[c], dtype, out + start);
  };
  const auto row = [&](Index start) { kernels.quantize_each(x + start, view.channels, scale.data(), zero_point.data(), dtype, out + start); };
  for_each_channel(view, {x, sizeof(float)}, same, row);
}

void dequantize(const void* q, DType dtype, AxisView view, std::span<const float> scale, std::span<const std::int32_t> zero_point, float* y) {
  const auto& kernels = isa::active_kernels().elementwise;
  const auto* in = static_cast<const unsigned char*>(q);
  const Index size = size_of(dtype);
  const auto same = [&](Index start, Index count, Index channel) {
    const auto c = static_cast<std::size_t>(channel);
    kernels.dequantize(in + start * size, dtype, count, scale[c], zero_point[c], y + start);
  };
  const auto row = [&](Index start) { kernels.dequantize_each(in + start * size, dtype, view.channels, scale.data(), zero_point.data(), y + start); };
  for_each_channel(view, {q, size}, same, row);
}

}  // namespace qkern::ops
