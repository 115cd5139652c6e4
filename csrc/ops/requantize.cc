#include "ops/requantize.h"

#include "isa/kernel_table.h"
#include "ops/for_each_channel.h"

namespace qkern::ops {

void requantize(const std::int32_t* acc, AxisView view, std::span<const float> multiplier, std::span<const std::int32_t> bias,
                std::int32_t zero_point, Codes clamp, DType dtype, void* y) {
  const auto& kernels = isa::active_kernels().elementwise;
  auto* out = static_cast<unsigned char*>(y);
  const auto one = [&](Index start, Index count, std::size_t channel) {
    kernels.requantize(acc + start, count, multiplier[channel], bias[channel], zero_point, clamp.low, clamp.high, dtype, out + start);
  };
  for_each_channel(
      view, [&](Index start, Index count) { one(start, count, 0); },
      [&](Index start) {
        kernels.requantize_each(acc + start, view.channels, multiplier.data(), bias.data(), zero_point, clamp.low, clamp.high, dtype, out + start);
      },
      [&](Index start, Index channel) { one(start, view.inner, static_cast<std::size_t>(channel)); });
}

}  // namespace qkern::ops
