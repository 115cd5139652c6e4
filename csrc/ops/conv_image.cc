#include "ops/conv_image.h"

#include <cstring>
#include <type_traits>

#include "tensor/scratch.h"
#include "tensor/transpose.h"
#include "threading/parallel_for.h"

namespace qkern::ops {
namespace {

using tensor::transpose;

constexpr Index slack = 256;                   // bytes readable behind a copied image
constexpr Index short_row = 32;                // pixels: a row that is too little for a transpose in registers by itself
constexpr Index small_image = Index{1} << 14;  // numbers: quantized at once, because calls for rows would cost more than another pass

template <class T, class To>
void fill_with(To* to, Index count, const void* element) {
  T value;
  std::memcpy(&value, element, sizeof value);
  for (Index i = 0; i < count; ++i) to[i] = static_cast<To>(value);
}

// Channels of a row of pixels at `channel_stride` elements -> channels last.
template <class T>
void interleave_channels(const T* from, Index channel_stride, Index pixels, Index channels, T* to) {
  if constexpr (sizeof(T) == 1) {
    transpose(reinterpret_cast<const std::uint8_t*>(from), channel_stride, channels, pixels, reinterpret_cast<std::uint8_t*>(to), channels);
  } else {
    transpose(from, channel_stride, channels, pixels, to, channels);
  }
}

// One row of pixels; channel_stride 1: channels last already.
template <class T, class To>
void copy_row(const T* from, Index channel_stride, Index pixels, Index channels, To* to) {
  const Index count = pixels * channels;
  if constexpr (std::is_same_v<T, To>) {
    if (channel_stride == 1) std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(T));
    else interleave_channels(from, channel_stride, pixels, channels, to);
  } else {
    if (channel_stride != 1) {
      auto* row = static_cast<T*>(tensor::scratch(tensor::Scratch::TransposedRow, static_cast<std::size_t>(count) * sizeof(T)));
      interleave_channels(from, channel_stride, pixels, channels, row);
      from = row;
    }
    for (Index i = 0; i < count; ++i) to[i] = from[i];
  }
}

void quantize(const ImageQuantizer& quantizer, const float* x, Index n, void* codes) {
  quantizer.kernels->quantize(x, n, quantizer.scale, quantizer.zero_point, quantizer.dtype, codes);
}

// The same from numbers, as codes T.
template <class T, class To>
void quantize_row(const ImageQuantizer& quantizer, const float* from, Index channel_stride, Index pixels, Index channels, To* to) {
  const Index count = pixels * channels;
  if constexpr (std::is_same_v<T, To>) {
    if (channel_stride == 1) return quantize(quantizer, from, count, to);
  }
  auto* const row = static_cast<T*>(tensor::scratch(tensor::Scratch::QuantizedRow, static_cast<std::size_t>(count) * sizeof(T)));
  if (channel_stride == 1) {
    quantize(quantizer, from, count, row);
    return copy_row(row, 1, pixels, channels, to);
  }
  for (Index c = 0; c < channels; ++c) quantize(quantizer, from + c * channel_stride, pixels, row + c * pixels);
  copy_row(row, pixels, pixels, channels, to);
}

template <class T, class To>
void copy_with_borders(const ImagePlan& plan, const void* x, bool last, const void* fill, void* copy) {
  auto* out = static_cast<To*>(copy);
  const ImageShape& image = plan.image;
  const ImageNeeds& needs = plan.needs;
  const Sizes& size = plan.prepared.size;
  const Index channels = image.channels;
  const auto [depth, height, width] = image.size;
  const Index row = size[2] * channels, image_elements = image.pixels() * channels;
  threading::parallel_for(image.batch * size[0] * size[1], row, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      To* to = out + i * row;
      const Index h = i % size[1] - needs.pad_begin[1], d = i / size[1] % size[0] - needs.pad_begin[0], n = i / size[1] / size[0];
      if (h < 0 || h >= height || d < 0 || d >= depth) {
        fill_with<T>(to, row, fill);
        continue;
      }
      const Index first = n * image_elements + (d * height + h) * width * (last ? channels : 1);
      fill_with<T>(to, needs.pad_begin[2] * channels, fill);
      to += needs.pad_begin[2] * channels;
      const Index channel_stride = last ? 1 : image.pixels();
      if constexpr (sizeof(T) == 1) {
        if (plan.quantizes_rows) quantize_row<T>(*plan.quantizer, static_cast<const float*>(x) + first, channel_stride, width, channels, to);
        else copy_row(static_cast<const T*>(x) + first, channel_stride, width, channels, to);
      } else {
        copy_row(static_cast<const T*>(x) + first, channel_stride, width, channels, to);
      }
      fill_with<T>(to + width * channels, needs.pad_end[2] * channels, fill);
    }
  });
}

template <class T>
void transpose_batch(const T* x, Index batch, Index rows, Index cols, T* y) {
  constexpr Index block = 64;  // rows: whole cache lines of y, for each thread
  const Index row_blocks = divide_up(rows, block);
  threading::parallel_for(batch * row_blocks, block * cols, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const Index r = i % row_blocks * block, count = rows - r < block ? rows - r : block, image = i / row_blocks * rows * cols;
      transpose(x + image + r * cols, cols, count, cols, y + image + r, rows);
    }
  });
}

void transpose_any(const void* x, Index batch, Index rows, Index cols, Index element_size, void* y) {
  if (element_size == 1) transpose_batch(static_cast<const std::uint8_t*>(x), batch, rows, cols, static_cast<std::uint8_t*>(y));
  else transpose_batch(static_cast<const std::uint32_t*>(x), batch, rows, cols, static_cast<std::uint32_t*>(y));
}

bool is_channels_last(const ImagePlan& plan) { return plan.layout == Layout::ChannelsLast || plan.image.channels == 1; }

}  // namespace

Sizes output_size(const ImageShape& image, const Window& window) {
  Sizes out;
  for (std::size_t i = 0; i < 3; ++i) {
    const Index room = image.size[i] + window.pad_begin[i] + window.pad_end[i] - (window.dilation[i] * (window.kernel[i] - 1) + 1);
    out[i] = room < 0 ? -1 : room / window.stride[i] + 1;
  }
  return out;
}

ImagePlan plan_image(const ImageShape& image, Layout layout, Index element_size, const ImageNeeds& needs,
                     const std::optional<ImageQuantizer>& quantizer) {
  using Road = ImagePlan::Road;
  ImagePlan plan{image, layout, element_size, needs, quantizer, false, Road::Copy, {nullptr, nullptr, image.size, image.channels, element_size}};
  const bool as_it_is = needs.widen == Widen::No && needs.pad_begin == Sizes{} && needs.pad_end == Sizes{};
  plan.quantizes_rows = quantizer && image.batch * image.pixels() * image.channels > small_image;
  if (plan.quantizes_rows) {
    // Copied in any case.
  } else if (is_channels_last(plan)) {
    if (as_it_is && !needs.may_overrun) plan.road = Road::InPlace;
  } else if (as_it_is) {
    plan.road = Road::Turn;
  } else if (image.size[2] < short_row) {
    plan.road = Road::TurnAndCopy;
  }
  for (std::size_t i = 0; i < 3; ++i) plan.prepared.size[i] += needs.pad_begin[i] + needs.pad_end[i];
  if (needs.widen != Widen::No) plan.prepared.element_size = 2;
  return plan;
}

PreparedImage prepare(const ImagePlan& plan, const void* x, const void* fill) {
  const ImageShape& image = plan.image;
  const Index bytes = image.batch * image.pixels() * image.channels * plan.element_size;
  if (plan.quantizer && !plan.quantizes_rows) {
    auto* const codes = tensor::scratch(tensor::Scratch::QuantizedImage, static_cast<std::size_t>(bytes));
    quantize(*plan.quantizer, static_cast<const float*>(x), bytes, codes);
    x = codes;
  }
  PreparedImage prepared = plan.prepared;
  prepared.data = x;
  if (plan.road == ImagePlan::Road::InPlace) {
    prepared.end = static_cast<const unsigned char*>(x) + bytes;
    return prepared;
  }
  bool last = is_channels_last(plan);
  if (plan.road != ImagePlan::Road::Copy) {
    auto* turned = static_cast<unsigned char*>(tensor::scratch(tensor::Scratch::TransposedImage, static_cast<std::size_t>(bytes + slack)));
    to_channels_last(x, image.batch, image.channels, image.pixels(), plan.element_size, turned);
    prepared.data = x = turned;
    last = true;
    if (plan.road == ImagePlan::Road::Turn) {
      std::memset(turned + bytes, 0, slack);
      return prepared;
    }
  }
  const Sizes& size = prepared.size;
  const Index padded = image.batch * size[0] * size[1] * size[2] * image.channels * prepared.element_size;
  void* copy = tensor::scratch(tensor::Scratch::PaddedInput, static_cast<std::size_t>(padded + slack));
  if (plan.needs.widen == Widen::Int8) copy_with_borders<std::int8_t, std::int16_t>(plan, x, last, fill, copy);
  else if (plan.needs.widen == Widen::Uint8) copy_with_borders<std::uint8_t, std::int16_t>(plan, x, last, fill, copy);
  else if (plan.element_size == 1) copy_with_borders<std::uint8_t, std::uint8_t>(plan, x, last, fill, copy);
  else copy_with_borders<std::uint32_t, std::uint32_t>(plan, x, last, fill, copy);
  std::memset(static_cast<unsigned char*>(copy) + padded, 0, slack);
  prepared.data = copy;
  return prepared;
}

std::vector<Index> tap_offsets(const PreparedImage& image, const Window& window, bool merge_width) {
  std::vector<Index> offsets;
  offsets.reserve(static_cast<std::size_t>(window.positions()));
  for (Index d = 0; d < window.kernel[0]; ++d) {
    for (Index h = 0; h < window.kernel[1]; ++h) {
      for (Index w = 0; w < (merge_width ? 1 : window.kernel[2]); ++w) {
        const Index row = d * window.dilation[0] * image.size[1] + h * window.dilation[1];
        offsets.push_back((row * image.size[2] + w * window.dilation[2]) * image.channels);
      }
    }
  }
  return offsets;
}

gemm::Lhs plane_lhs(const PreparedImage& image, const Window& window, const Sizes& out, Index plane, bool is_signed) {
  const Index depth = plane / out[0] * image.size[0] + plane % out[0] * window.stride[0];
  const Index start = depth * image.size[1] * image.size[2] * image.channels;
  gemm::Lhs lhs{};
  lhs.data = static_cast<const unsigned char*>(image.data) + start * image.element_size;
  lhs.inner_rows = out[2];
  lhs.inner_stride = window.stride[2] * image.channels;
  lhs.outer_stride = window.stride[1] * image.size[2] * image.channels;
  lhs.end = image.end;
  lhs.is_signed = is_signed;
  lhs.is_wide = image.element_size == 2;
  return lhs;
}

void to_channels_last(const void* x, Index batch, Index channels, Index pixels, Index element_size, void* y) {
  transpose_any(x, batch, channels, pixels, element_size, y);
}
void to_channels_first(const void* x, Index batch, Index channels, Index pixels, Index element_size, void* y) {
  transpose_any(x, batch, pixels, channels, element_size, y);
}

}  // namespace qkern::ops
