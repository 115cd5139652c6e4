#include "ops/conv_image.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "tensor/scratch.h"
#include "tensor/transpose.h"
#include "threading/parallel_for.h"

namespace qkern::ops {
namespace {

using tensor::transpose;

constexpr Index slack = 256;     // bytes readable behind a copied image
constexpr Index short_row = 32;  // pixels: a row that is too little for a transpose in registers by itself

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

// Rows of pixels without borders, the first of them row `first` of its image; channel_stride 1: channels last.
struct Rows {
  const void* data;
  Index first, row_stride, channel_stride;
};

// Rows [begin, end) of an image with borders, from those that it has without.
template <class T, class To>
void copy_rows(const ImagePlan& plan, const Rows& from, gemm::Range rows, const void* fill, void* copy) {
  auto* to = static_cast<To*>(copy);
  const Index channels = plan.image.channels, height = plan.image.size[1], width = plan.image.size[2];
  const Index before = plan.needs.pad_begin[2] * channels, after = plan.needs.pad_end[2] * channels;
  for (Index row = rows.begin; row < rows.end; ++row, to += before + width * channels + after) {
    const Index h = row - plan.needs.pad_begin[1];
    if (h < 0 || h >= height) {
      fill_with<T>(to, before + width * channels + after, fill);
      continue;
    }
    fill_with<T>(to, before, fill);
    copy_row(static_cast<const T*>(from.data) + (h - from.first) * from.row_stride, from.channel_stride, width, channels, to + before);
    fill_with<T>(to + before + width * channels, after, fill);
  }
}

void copy_rows(const ImagePlan& plan, const Rows& from, gemm::Range rows, const void* fill, void* copy) {
  if (plan.needs.widen == Widen::Int8) copy_rows<std::int8_t, std::int16_t>(plan, from, rows, fill, copy);
  else if (plan.needs.widen == Widen::Uint8) copy_rows<std::uint8_t, std::int16_t>(plan, from, rows, fill, copy);
  else if (plan.element_size == 1) copy_rows<std::uint8_t, std::uint8_t>(plan, from, rows, fill, copy);
  else copy_rows<std::uint32_t, std::uint32_t>(plan, from, rows, fill, copy);
}

// A plane of x, channels last or as the plan says. Depths outside of the image: data is null.
Rows rows_of_plane(const ImagePlan& plan, const void* x, Index plane, bool last, Index element_size) {
  const ImageShape& image = plan.image;
  const Index depths = plan.prepared.size[0], d = plane % depths - plan.needs.pad_begin[0], n = plane / depths, width = image.size[2];
  if (d < 0 || d >= image.size[0]) return {nullptr, 0, 0, 0};
  const Index first = n * image.pixels() * image.channels + d * image.size[1] * width * (last ? image.channels : 1);
  return {static_cast<const unsigned char*>(x) + first * element_size, 0, width * (last ? image.channels : 1), last ? 1 : image.pixels()};
}

void copy_with_borders(const ImagePlan& plan, const void* x, bool last, const void* fill, void* copy) {
  const Sizes& size = plan.prepared.size;
  const Index row = size[2] * plan.image.channels, height = size[1];
  threading::parallel_for(plan.image.batch * size[0] * height, row, [&](Index begin, Index end) {
    while (begin < end) {
      const Index plane = begin / height, h = begin % height, count = std::min(end - begin, height - h);
      Rows from = rows_of_plane(plan, x, plane, last, plan.element_size);
      gemm::Range rows{h, h + count};
      if (from.data == nullptr) rows = {-count, 0};  // all of them borders
      copy_rows(plan, from, rows, fill, static_cast<unsigned char*>(copy) + begin * row * plan.prepared.element_size);
      begin += count;
    }
  });
}

// The codes of rows [begin, end) of a plane of numbers, in scratch memory.
Rows quantized_rows(const ImagePlan& plan, const Rows& from, Index begin, Index end) {
  const Index width = plan.image.size[2], channels = plan.image.channels, count = (end - begin) * width;
  auto* const codes = static_cast<std::uint8_t*>(tensor::scratch(tensor::Scratch::QuantizedImage, static_cast<std::size_t>(count * channels)));
  const float* x = static_cast<const float*>(from.data) + begin * from.row_stride;
  if (from.channel_stride == 1) {
    quantize(*plan.quantizer, x, count * channels, codes);
    return {codes, begin, width * channels, 1};
  }
  for (Index c = 0; c < channels; ++c) quantize(*plan.quantizer, x + c * from.channel_stride, count, codes + c * count);
  return {codes, begin, width, count};
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
  ImagePlan plan{image, layout, element_size, needs, quantizer, Road::Copy, {nullptr, nullptr, image.size, image.channels, element_size}};
  const bool as_it_is = needs.widen == Widen::No && needs.pad_begin == Sizes{} && needs.pad_end == Sizes{};
  if (is_channels_last(plan)) {
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
  if (plan.quantizer) {
    constexpr Index piece = 4096;
    auto* const codes = static_cast<std::uint8_t*>(tensor::scratch(tensor::Scratch::QuantizedImage, static_cast<std::size_t>(bytes)));
    threading::parallel_for(divide_up(bytes, piece), piece, [&](Index begin, Index end) {
      const Index first = begin * piece;
      quantize(*plan.quantizer, static_cast<const float*>(x) + first, std::min(end * piece, bytes) - first, codes + first);
    });
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
  const Index padded = plan.rows() * plan.row_bytes();
  void* copy = tensor::scratch(tensor::Scratch::PaddedInput, static_cast<std::size_t>(padded + slack));
  copy_with_borders(plan, x, last, fill, copy);
  std::memset(static_cast<unsigned char*>(copy) + padded, 0, slack);
  prepared.data = copy;
  return prepared;
}

PreparedImage prepare_rows(const ImagePlan& plan, const void* x, const void* fill, Index plane, gemm::Range rows) {
  Rows from = rows_of_plane(plan, x, plane, is_channels_last(plan), plan.quantizer ? Index{sizeof(float)} : plan.element_size);
  if (plan.quantizer) {
    const Index height = plan.image.size[1], above = plan.needs.pad_begin[1];
    from = quantized_rows(plan, from, std::clamp(rows.begin - above, Index{0}, height), std::clamp(rows.end - above, Index{0}, height));
  }
  const Index bytes = (rows.end - rows.begin) * plan.row_bytes();
  void* copy = tensor::scratch(tensor::Scratch::PaddedInput, static_cast<std::size_t>(bytes + slack));
  copy_rows(plan, from, rows, fill, copy);
  std::memset(static_cast<unsigned char*>(copy) + bytes, 0, slack);
  PreparedImage prepared = plan.prepared;
  prepared.data = copy;
  prepared.size[1] = rows.end - rows.begin;
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
