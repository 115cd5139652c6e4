#include "ops/requantize.h"

#include "isa/kernel_table.h"
#include "ops/for_each_channel.h"

namespace qkern::ops {

void requantize(const std::int32_t* acc, AxisView view, std::span<const float> multiplier, std::span<const std::int32_t> bias,
                std::int32_t zero_point, Codes clamp, DType dtype, void* y) {
  const auto& kernels = isa::active_kernels().elementwise;
  auto* out = static_cast<unsigned char*>(y);
  const auto same = [&](Index start, Index count, Index channel) {
    const auto c = static_cast<std::size_t>(channel);
    kernels.requantize(acc + start, count, multiplier[c], bias[c], zero_point, clamp.low, clamp.high, dtype, out + start);
  };
  const auto row = [&](Index start) {
    kernels.requantize_each(acc + start, view.channels, multiplier.data(), bias.data(), zero_point, clamp.low, clamp.high, dtype, out + start);
  };
  for_each_channel(view, {acc, sizeof(std::int32_t)}, same, row);
}

}  // namespace qkern::ops
