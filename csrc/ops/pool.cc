#include "ops/pool.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "elementwise/rounding.h"
#include "isa/kernel_table.h"
#include "tensor/scratch.h"
#include "threading/parallel_for.h"

namespace qkern::ops {
namespace {

// Calls row(address of the window's first position, output row index, plane, row in plane) for every output pixel, on the
// threads it is worth, and returns the result in the caller's layout.
template <class Row>
void for_each_pixel(const PoolPlan& plan, const PreparedImage& image, Index work, const Row& row) {
  const Index rows = plan.out[1] * plan.out[2];
  threading::parallel_for(plan.image.image.batch * plan.out[0] * rows, work, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const gemm::Lhs lhs = plane_lhs(image, plan.window, plan.out, i / rows, false);
      const Index r = i % rows;
      const Index offset = r / lhs.inner_rows * lhs.outer_stride + r % lhs.inner_rows * lhs.inner_stride;
      row(static_cast<const unsigned char*>(lhs.data) + offset * image.element_size, i);
    }
  });
}

// Output memory channels last: y itself, or scratch that finish() transposes into y.
class PixelsLast {
 public:
  PixelsLast(const PoolPlan& plan, Index size, void* y)
      : y_(y),
        batch_(plan.image.image.batch),
        channels_(plan.image.image.channels),
        pixels_(plan.out[0] * plan.out[1] * plan.out[2]),
        size_(size),
        transposes_(plan.layout == Layout::ChannelsFirst && channels_ > 1) {
    const auto bytes = static_cast<std::size_t>(batch_ * channels_ * pixels_ * size_);
    data_ = static_cast<unsigned char*>(transposes_ ? tensor::scratch(tensor::Scratch::ChannelsLastOutput, bytes) : y);
  }
  unsigned char* pixel(Index i) const { return data_ + i * channels_ * size_; }
  void finish() const {
    if (transposes_) to_channels_first(data_, batch_, channels_, pixels_, size_, y_);
  }

 private:
  void* y_;
  unsigned char* data_;
  Index batch_, channels_, pixels_, size_;
  bool transposes_;
};

// As many codes as an int32 sum can't be too small for: 255 * 2^23 < 2^31.
constexpr Index most_in_sum = Index{1} << 23;

// Sums of more codes than that, for `channels` channels, and their rounding as requantize() has it.
void average_of_many(const unsigned char* first, const std::vector<Index>& taps, DType dtype, Index channels, float multiplier,
                     const AveragePool& pool, unsigned char* y) {
  const auto& kernels = isa::active_kernels().elementwise;
  auto* const sum = static_cast<std::int64_t*>(tensor::scratch(tensor::Scratch::WindowSums, static_cast<std::size_t>(channels) * 12));
  auto* const part = reinterpret_cast<std::int32_t*>(sum + channels);
  std::fill(sum, sum + channels, -static_cast<std::int64_t>(taps.size()) * pool.x_zero_point);
  for (std::size_t t = 0; t < taps.size();) {
    std::fill(part, part + channels, 0);
    for (const std::size_t end = std::min(taps.size(), t + static_cast<std::size_t>(most_in_sum)); t < end; ++t)
      kernels.add_into(first + taps[t], dtype, channels, part);
    for (Index c = 0; c < channels; ++c) sum[c] += part[c];
  }
  const LayerOutput& output = pool.output;
  const auto low = static_cast<float>(output.clamp.low - output.y_zero_point), high = static_cast<float>(output.clamp.high - output.y_zero_point);
  for (Index c = 0; c < channels; ++c) {
    const std::int32_t code = elementwise::round_clamped(static_cast<float>(sum[c]) * multiplier, low, high) + output.y_zero_point;
    y[c] = static_cast<unsigned char>(code);  // the low byte, for int8 too
  }
}

// Window positions of output pixel p that lie inside the image.
Index inside(const ImageShape& image, const Window& window, Index p, const Sizes& out) {
  const Sizes at{p / (out[1] * out[2]), p / out[2] % out[1], p % out[2]};
  Index product = 1;
  for (std::size_t axis = 0; axis < 3; ++axis) {
    Index count = 0;
    for (Index k = 0; k < window.kernel[axis]; ++k) {
      const Index i = at[axis] * window.stride[axis] + k * window.dilation[axis] - window.pad_begin[axis];
      count += i >= 0 && i < image.size[axis];
    }
    product *= count;
  }
  return product;
}

}  // namespace

PoolPlan plan_pool(DType dtype, const ImageShape& image, const Window& window, Layout layout) {
  PoolPlan plan{dtype, layout, window, output_size(image, window), {}, {}};
  plan.image = plan_image(image, layout, size_of(dtype), {window.pad_begin, window.pad_end, false});
  const bool empty = image.batch * image.channels * plan.out[0] * plan.out[1] * plan.out[2] == 0;
  if (!empty) plan.tap_offsets = tap_offsets(plan.image.prepared, window, false);  // a window over nothing can be of any size
  return plan;
}

void max_pool(const PoolPlan& plan, const void* x, void* y) {
  const DType dtype = plan.dtype;
  const Index channels = plan.image.image.channels, size = size_of(dtype);
  const std::vector<Index>& taps = plan.tap_offsets;
  const auto lowest_code = static_cast<std::uint8_t>(lowest(dtype));
  static constexpr float lowest_float = -std::numeric_limits<float>::infinity();
  if (taps.empty()) return;
  const PixelsLast to(plan, size, y);
  const PreparedImage prepared = prepare(plan.image, x, dtype == DType::Float32 ? static_cast<const void*>(&lowest_float) : &lowest_code);
  const auto& kernels = isa::active_kernels().elementwise;
  for_each_pixel(plan, prepared, channels * static_cast<Index>(taps.size()), [&](const unsigned char* first, Index i) {
    std::memcpy(to.pixel(i), first + taps[0] * size, static_cast<std::size_t>(channels * size));
    for (std::size_t t = 1; t < taps.size(); ++t) kernels.max_into(first + taps[t] * size, dtype, channels, to.pixel(i));
  });
  to.finish();
}

void average_pool(const PoolPlan& plan, const AveragePool& pool, const void* x, void* y) {
  const DType dtype = plan.dtype;
  const Index channels = plan.image.image.channels, size = size_of(dtype), pixels = plan.out[0] * plan.out[1] * plan.out[2];
  const std::vector<Index>& taps = plan.tap_offsets;
  const bool is_float = dtype == DType::Float32;
  const auto zero = static_cast<std::uint8_t>(pool.x_zero_point);
  static constexpr float float_zero = 0;
  if (taps.empty()) return;
  const PixelsLast to(plan, size_of(pool.output.dtype), y);
  const PreparedImage prepared = prepare(plan.image, x, is_float ? static_cast<const void*>(&float_zero) : &zero);
  const auto all = static_cast<Index>(taps.size());
  const auto& kernels = isa::active_kernels().elementwise;
  const auto zero_sum = static_cast<std::int32_t>(-all * pool.x_zero_point);
  for_each_pixel(plan, prepared, channels * all, [&](const unsigned char* first, Index i) {
    const Index p = i % pixels;
    const Index count = pool.count_include_pad ? all : std::max(Index{1}, inside(plan.image.image, plan.window, p, plan.out));
    if (is_float) {
      auto* sum = reinterpret_cast<float*>(to.pixel(i));
      std::fill(sum, sum + channels, 0.0f);
      for (const Index tap : taps) kernels.add_into(first + tap * size, dtype, channels, sum);
      for (Index c = 0; c < channels; ++c) {
        const float mean = sum[c] / static_cast<float>(count);
        sum[c] = mean == mean ? mean : std::numeric_limits<float>::quiet_NaN();  // one NaN for all, as in gemm/epilogue.h
      }
      return;
    }
    const float multiplier = pool.x_scale / (pool.output.y_scale * static_cast<float>(count));
    if (all > most_in_sum) return average_of_many(first, taps, dtype, channels, multiplier, pool, to.pixel(i));
    auto* sum = static_cast<std::int32_t*>(tensor::scratch(tensor::Scratch::WindowSums, static_cast<std::size_t>(channels) * 4));
    std::fill(sum, sum + channels, 0);
    for (const Index tap : taps) kernels.add_into(first + tap * size, dtype, channels, sum);
    kernels.requantize(sum, channels, multiplier, zero_sum, pool.output.y_zero_point, pool.output.clamp.low, pool.output.clamp.high,
                       pool.output.dtype, to.pixel(i));
  });
  to.finish();
}

}  // namespace qkern::ops
