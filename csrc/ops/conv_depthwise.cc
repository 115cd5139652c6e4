#include "ops/conv_depthwise.h"

#include <algorithm>

#include "threading/parallel_for.h"

namespace qkern::ops {
namespace {

// As gemm::products_per_unit: a depthwise kernel does half as much at once.
constexpr Index products_per_unit = 4;

// Bytes of an image that a core's cache holds while one block of channels after the other is read from it.
constexpr Index small_image = Index{128} << 10;

// Of a part of the output, where there are several.
constexpr Index least_rows = 5;

}  // namespace

ConvDepthwise::Centred::Centred(const ConvWeights& given, const ConvQuantization& quantization)
    : weights(static_cast<std::size_t>(given.out_channels * given.window.positions())), sums(static_cast<std::size_t>(given.out_channels)) {
  const Index taps = given.window.positions();
  for (Index c = 0; c < given.out_channels; ++c) {
    for (Index i = c * taps; i < (c + 1) * taps; ++i) {
      const std::int32_t value =
          given.dtype == DType::Int8 ? static_cast<const std::int8_t*>(given.data)[i] : static_cast<const std::uint8_t*>(given.data)[i];
      const std::int32_t centred = value - quantization.w_zero_of(c);
      weights[static_cast<std::size_t>(i)] = static_cast<std::int16_t>(centred);
      sums[static_cast<std::size_t>(c)] += centred;
    }
  }
}

ConvDepthwise::ConvDepthwise(const ConvWeights& weights, const ConvQuantization& quantization, const LayerOutput& output,
                             const isa::KernelTable& kernels)
    : ConvDepthwise(weights, Centred(weights, quantization), quantization, output, kernels.depthwise_int8) {}

ConvDepthwise::ConvDepthwise(const ConvWeights& weights, const Centred& centred, const ConvQuantization& quantization, const LayerOutput& output,
                             const conv::DepthwiseKernels& kernels)
    : kernels_(kernels),
      channels_(weights.out_channels),
      taps_(weights.window.positions()),
      kernel_(choose(centred, weights.window, kernels)),
      x_zero_(quantization.x_zero),
      channel_arrays_(column_offsets(centred, x_zero_, false), column_offsets(centred, x_zero_, true), quantization, channels_, output,
                      [](Index channel) { return channel; }) {
  switch (kernel_) {
    case Kernel::Taps: int16_ = by_taps(centred.weights.data()); break;
    case Kernel::Dot: dot_ = for_dot(centred); break;
    case Kernel::Rows: int16_ = by_rows(centred, weights.window); break;
  }
}

ConvDepthwise::ConvDepthwise(const ConvWeights& weights, std::span<const float> bias, const isa::KernelTable& kernels)
    : kernels_(kernels.depthwise_float32),
      channels_(weights.out_channels),
      taps_(weights.window.positions()),
      kernel_(weights.window.kernel[0] == 1 ? Kernel::Rows : Kernel::Taps),
      float_(by_taps(static_cast<const float*>(weights.data))),
      channel_arrays_(round_up(channels_, kernels_.lanes), bias, [](Index channel) { return channel; }) {}

ConvDepthwise::Kernel ConvDepthwise::choose(const Centred& centred, const Window& window, const conv::DepthwiseKernels& kernels) {
  if (kernels.run_rows != nullptr && window.kernel[0] == 1 && window.kernel[1] > 1 && window.dilation[1] == 1) return Kernel::Rows;
  const auto fits = [](std::int16_t weight) { return weight >= -128 && weight <= 127; };
  return kernels.dot_channels > 0 && std::all_of(centred.weights.begin(), centred.weights.end(), fits) ? Kernel::Dot : Kernel::Taps;
}

Index ConvDepthwise::lanes() const {
  switch (kernel_) {
    case Kernel::Dot: return kernels_.dot_channels;
    case Kernel::Rows: return kernels_.row_channels;
    default: return kernels_.lanes;
  }
}

std::vector<std::int32_t> ConvDepthwise::column_offsets(const Centred& centred, std::int32_t x_zero, bool is_signed) const {
  const std::int32_t moved = kernel_ == Kernel::Dot ? gemm::applied_offset(kernels_.lhs_offset, is_signed) : 0;
  const auto zero = static_cast<std::uint32_t>(x_zero + moved);
  std::vector<std::int32_t> offsets(static_cast<std::size_t>(round_up(channels_, lanes())));
  std::transform(centred.sums.begin(), centred.sums.end(), offsets.begin(),
                 [zero](std::int32_t sum) { return static_cast<std::int32_t>(0u - zero * static_cast<std::uint32_t>(sum)); });
  return offsets;
}

// [channel][tap] -> [tap group][channels padded][tap_group]
template <class T>
std::vector<T> ConvDepthwise::by_taps(const T* weights) const {
  const Index padded = round_up(channels_, kernels_.lanes), group = kernels_.tap_group;
  std::vector<T> ordered(static_cast<std::size_t>(round_up(taps_, group) * padded));
  for (Index c = 0; c < channels_; ++c) {
    for (Index t = 0; t < taps_; ++t) ordered[static_cast<std::size_t>((t / group * padded + c) * group + t % group)] = weights[c * taps_ + t];
  }
  return ordered;
}

std::vector<std::int8_t> ConvDepthwise::for_dot(const Centred& centred) const {
  const Index block = kernels_.dot_channels, groups = divide_up(taps_, 4);
  std::vector<std::int8_t> ordered(static_cast<std::size_t>(round_up(channels_, block) * groups * 4));
  // A block is one register of each tap. Interleaving works within 128-bit lanes, so of the kernel's four sums, sum j, lane l,
  // element i is channel 16 l + 4 j + i.
  for (Index c = 0; c < channels_; ++c) {
    const Index within = c % block, slot = within / 4 % 4 * (block / 4) + within / 16 * 4 + within % 4;
    for (Index t = 0; t < taps_; ++t) {
      const Index at = ((c / block * groups + t / 4) * block + slot) * 4 + t % 4;
      ordered[static_cast<std::size_t>(at)] = static_cast<std::int8_t>(centred.weights[static_cast<std::size_t>(c * taps_ + t)]);
    }
  }
  return ordered;
}

std::vector<std::int16_t> ConvDepthwise::by_rows(const Centred& centred, const Window& window) const {
  const Index block = kernels_.row_channels, width = window.kernel[2], pairs = window.kernel[1] / 2 + 1;
  const Index blocks = divide_up(channels_, block), last = std::max(channels_ - block, Index{0});
  std::vector<std::int16_t> ordered(static_cast<std::size_t>(blocks * 2 * pairs * width * block * 2));
  for (Index b = 0; b < blocks; ++b) {
    const Index first = std::min(b * block, last);
    for (Index c = first; c < std::min(first + block, channels_); ++c) {
      for (Index t = 0; t < taps_; ++t) {
        for (Index odd = 0; odd < 2; ++odd) {
          const Index row = t / width + odd;
          const Index at = ((((b * 2 + odd) * pairs + row / 2) * width + t % width) * block + c - first) * 2 + row % 2;
          ordered[static_cast<std::size_t>(at)] = centred.weights[static_cast<std::size_t>(c * taps_ + t)];
        }
      }
    }
  }
  return ordered;
}

ImageNeeds ConvDepthwise::image_needs(DType, const Window& window) const {
  if (kernel_ != Kernel::Rows) return {window.pad_begin, window.pad_end, channels_ % lanes() != 0};
  // Borders within a plane are the kernel's own.
  return {{window.pad_begin[0], 0, 0}, {window.pad_end[0], 0, 0}, channels_ < lanes()};
}

TapNeeds ConvDepthwise::tap_needs() const { return {false, kernel_ == Kernel::Dot ? 4 : kernels_.tap_group, channels_}; }

Index ConvDepthwise::work(Index rows) const { return divide_up(rows * taps_ * channels_, products_per_unit); }

// run(range) for ranges of [0, rows), rows of `pixels` pixels, each finished when it is done.
template <class Run>
void ConvDepthwise::share_rows(const ConvPlane& plane, Index rows, Index pixels, const Run& run) const {
  const Index row_bytes = pixels * channels_;
  // A kernel of image rows widens the first ones of a block once more: at least 16 rows.
  const Index most = plane.finish == nullptr ? rows : std::max(gemm::CodeFinisher::block_bytes / row_bytes, Index{16});
  threading::parallel_for(rows, work(pixels), [&](Index begin, Index end) {
    for (Index row = begin; row < end; row += most) {
      const gemm::Range range{row, std::min(row + most, end)};
      run(range);
      finish(plane, {range.begin * pixels, range.end * pixels}, {0, channels_});
    }
  });
}

void ConvDepthwise::finish(const ConvPlane& plane, gemm::Range pixels, gemm::Range channels) const {
  if (plane.finish == nullptr) return;
  const Index stride = plane.epilogue.row_stride;
  auto* const out = static_cast<unsigned char*>(plane.epilogue.out) + pixels.begin * stride + channels.begin;
  (*plane.finish)(out, stride, pixels.end - pixels.begin, channels.end - channels.begin);
}

void ConvDepthwise::run(const ConvPlane& plane) const {
  gemm::Epilogue epilogue = plane.epilogue;
  channel_arrays_.apply(epilogue, plane.lhs.is_signed, 0);
  const void* weights = int16_.data();
  if (kernel_ == Kernel::Dot) weights = dot_.data();
  if (!float_.empty()) weights = float_.data();
  if (kernel_ == Kernel::Rows) return run_rows(plane, weights, epilogue);
  const auto kernel = kernel_ == Kernel::Dot ? kernels_.run_dot : kernels_.run;
  share_rows(plane, plane.rows, 1, [&](gemm::Range rows) { kernel(plane.lhs, weights, epilogue, rows); });
}

void ConvDepthwise::run_rows(const ConvPlane& plane, const void* weights, const gemm::Epilogue& epilogue) const {
  const Window& window = plane.window;
  conv::ImageRows rows{};
  rows.data = plane.lhs.data;
  rows.height = plane.image.size[1], rows.width = plane.image.size[2], rows.channels = plane.image.channels;
  rows.is_signed = plane.lhs.is_signed;
  rows.fill = static_cast<std::uint8_t>(x_zero_);
  rows.out_width = plane.lhs.inner_rows;
  rows.kernel_height = window.kernel[1], rows.kernel_width = window.kernel[2];
  rows.stride_height = window.stride[1], rows.stride_width = window.stride[2];
  rows.dilation_height = window.dilation[1], rows.dilation_width = window.dilation[2];
  rows.pad_top = window.pad_begin[1], rows.pad_left = window.pad_begin[2];
  const Index height = plane.rows / rows.out_width, width = rows.out_width, block = kernels_.row_channels, blocks = divide_up(channels_, block);
  rows.blocks = {0, blocks};
  const Parts parts = parts_of(rows, height);
  if (parts.down * parts.across <= 1) {
    return share_rows(plane, height, width, [&](gemm::Range range) { kernels_.run_rows(rows, weights, epilogue, range); });
  }
  threading::parallel_for(parts.down * parts.across, work(plane.rows) / (parts.down * parts.across), [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const Index row = i / parts.across, column = i % parts.across, whole = channels_ / block;
      const gemm::Range range{height * row / parts.down, height * (row + 1) / parts.down};
      const bool is_last = column == parts.across - 1;  // has the block that overlaps the one before it
      conv::ImageRows part = rows;
      part.blocks = {whole * column / parts.across, is_last ? blocks : whole * (column + 1) / parts.across};
      kernels_.run_rows(part, weights, epilogue, range);
      finish(plane, {range.begin * width, range.end * width}, {part.blocks.begin * block, is_last ? channels_ : part.blocks.end * block});
    }
  });
}

// A thread that begins in the middle of an image widens the rows above once more, and has what other threads wrote sent to it. So small
// images are cut into as few parts of rows as there are threads, or none, and into blocks of channels to be shared evenly.
ConvDepthwise::Parts ConvDepthwise::parts_of(const conv::ImageRows& image, Index height) const {
  const Index threads = threading::num_threads(), enough = 4 * threads;
  if (threads == 1 || !float_.empty() || work(height * image.out_width) < threading::worth_a_thread) return {1, 1};
  const Index down = std::clamp(height / least_rows, Index{1}, threads), across = divide_up(enough, down);
  const bool fits = image.height * image.width * channels_ <= down * small_image;
  return fits && across <= channels_ / kernels_.row_channels ? Parts{down, across} : Parts{1, 1};
}

std::string ConvDepthwise::name() const {
  switch (kernel_) {
    case Kernel::Dot: return "depthwise, four taps";
    case Kernel::Rows: return float_.empty() ? "depthwise, row pairs" : "depthwise";
    default: return "depthwise";
  }
}

const gemm::GemmKernels* ConvDepthwise::tile() const { return nullptr; }

std::size_t ConvDepthwise::bytes() const { return dot_.size() + int16_.size() * sizeof(std::int16_t) + float_.size() * sizeof(float); }

}  // namespace qkern::ops
