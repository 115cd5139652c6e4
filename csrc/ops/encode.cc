#include "ops/encode.h"

#include <array>
#include <limits>

#include "isa/kernel_table.h"
#include "ops/for_each_channel.h"

namespace qkern::ops {

void encode(const float* x, AxisView view, std::span<const float> scale, std::span<const std::int8_t> levels, std::uint8_t* y) {
  const auto kernel = isa::active_kernels().elementwise.encode;
  std::array<float, 15> of_neighbours;
  of_neighbours.fill(std::numeric_limits<float>::infinity());  // what nothing is above, where there are fewer levels
  const float* sums = nullptr;
  if (levels.size() <= of_neighbours.size() + 1) {
    for (std::size_t k = 0; k + 1 < levels.size(); ++k) of_neighbours[k] = static_cast<float>(levels[k] + levels[k + 1]);
    sums = of_neighbours.data();
  }
  const auto same = [&](Index start, Index count, Index channel) {
    kernel(x + start, count, &scale[static_cast<std::size_t>(channel)], 0, sums, y + start);
  };
  const auto row = [&](Index start) { kernel(x + start, view.channels, scale.data(), 1, sums, y + start); };
  for_each_channel(view, {x, sizeof(float)}, same, row);
}

}  // namespace qkern::ops
