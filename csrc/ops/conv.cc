#include "ops/conv.h"

#include <algorithm>
#include <cstring>

#include "gemm/product.h"
#include "isa/kernel_table.h"
#include "tensor/scratch.h"
#include "threading/parallel_for.h"

namespace qkern::ops {
namespace {

// As gemm::products_per_unit: a depthwise kernel does half as much at once.
constexpr Index depthwise_products_per_unit = 4;

Index taps_of(const Window& window) { return window.kernel[0] * window.kernel[1] * window.kernel[2]; }

// [out, in, taps] -> [out, taps, in]: the order in which a window is read channels last.
template <class T>
std::vector<T> channels_last_weights(const ConvWeights& weights) {
  const Index in = weights.in_channels / weights.groups, taps = taps_of(weights.window);
  std::vector<T> copy(static_cast<std::size_t>(weights.out_channels * in * taps));
  to_channels_last(weights.data, weights.out_channels, in, taps, static_cast<Index>(sizeof(T)), copy.data());
  return copy;
}

bool is_depthwise(const ConvWeights& weights) {
  return weights.groups > 1 && weights.groups == weights.in_channels && weights.groups == weights.out_channels;
}

// Narrow groups side by side as one: between the channels of different groups stands the weights' zero point, which contributes
// nothing. Several times the multiplications are cheaper than rows of a few bytes and tiles of a few columns
// (docs/decisions/0023-merge-narrow-groups.md). Not for float, where 0 * inf would contribute.
class MergedGroups {
 public:
  MergedGroups(const ConvWeights& weights, std::span<const std::int32_t> w_zero) : weights_(weights) {
    constexpr Index enough = 16;  // channels of a group
    const Index in = weights.in_channels / weights.groups, out = weights.out_channels / weights.groups, taps = taps_of(weights.window);
    Index merge = 1;
    while (weights.groups % (2 * merge) == 0 && 2 * merge * std::max(in, out) <= enough) merge *= 2;
    if (merge == 1 || is_depthwise(weights)) return;
    bytes_.resize(static_cast<std::size_t>(weights.out_channels * merge * in * taps));
    const auto* from = static_cast<const std::uint8_t*>(weights.data);
    for (Index c = 0; c < weights.out_channels; ++c) {
      const Index place = c / out % merge;
      std::uint8_t* to = bytes_.data() + c * merge * in * taps;
      std::fill_n(to, merge * in * taps, static_cast<std::uint8_t>(w_zero[w_zero.size() == 1 ? 0 : static_cast<std::size_t>(c)]));
      std::copy_n(from + c * in * taps, in * taps, to + place * in * taps);
    }
    weights_.data = bytes_.data();
    weights_.groups /= merge;
  }
  const ConvWeights& weights() const { return weights_; }

 private:
  std::vector<std::uint8_t> bytes_;
  ConvWeights weights_;
};

std::int32_t wrap(std::uint32_t value) { return static_cast<std::int32_t>(value); }

}  // namespace

Conv::Conv(const ConvWeights& weights, std::span<const float> w_scale, std::span<const std::int32_t> w_zero, std::span<const std::int32_t> bias,
           float x_scale, std::int32_t x_zero, const LayerOutput& output, Layout layout)
    : isa_(isa::active_kernels().name),
      window_(weights.window),
      in_channels_(weights.in_channels),
      out_channels_(weights.out_channels),
      groups_(weights.groups),
      is_float_(false),
      depthwise_(is_depthwise(weights)),
      merge_width_(!depthwise_ && groups_ == 1 && window_.dilation[2] == 1),
      output_(output),
      layout_(layout),
      x_zero_(x_zero),
      depthwise_kernels_(isa::active_kernels().depthwise_int8),
      w_zero_(static_cast<std::size_t>(out_channels_)) {
  for (std::size_t c = 0; c < w_zero_.size(); ++c) w_zero_[c] = w_zero[w_zero.size() == 1 ? 0 : c];
  if (depthwise_) pack_depthwise(weights);
  else pack_groups(weights, isa::active_kernels().int8);
  set_channel_arrays(w_scale, bias, x_scale);
}

Conv::Conv(const ConvWeights& weights, std::span<const float> bias, float low, float high, Layout layout)
    : isa_(isa::active_kernels().name),
      window_(weights.window),
      in_channels_(weights.in_channels),
      out_channels_(weights.out_channels),
      groups_(weights.groups),
      is_float_(true),
      depthwise_(is_depthwise(weights)),
      merge_width_(!depthwise_ && groups_ == 1 && window_.dilation[2] == 1),
      output_{DType::Float32, 1, 0, {}},
      layout_(layout),
      low_(low),
      high_(high),
      depthwise_kernels_(isa::active_kernels().depthwise_float32) {
  if (depthwise_) pack_depthwise(weights);
  else pack_groups(weights, isa::active_kernels().float32);
  const std::size_t group_cols = static_cast<std::size_t>(out_channels_ / groups_);
  const Index padded = depthwise_ ? round_up(out_channels_, depthwise_kernels_.lanes) : packed_[0].padded_cols() * groups_;
  float_bias_.resize(static_cast<std::size_t>(padded));
  for (std::size_t c = 0; c < bias.size(); ++c) {
    const std::size_t at = depthwise_ ? c : c / group_cols * static_cast<std::size_t>(packed_[0].padded_cols()) + c % group_cols;
    float_bias_[at] = bias[c];
  }
}

void Conv::pack_groups(const ConvWeights& weights, const gemm::GemmKernels& kernels) {
  const Index group_out = out_channels_ / groups_, group_in = in_channels_ / groups_, taps = taps_of(window_);
  const Index runs = merge_width_ ? taps / window_.kernel[2] : taps;
  const Index size = size_of(weights.dtype), depth = group_in * taps;
  std::vector<std::uint8_t> bytes;
  std::vector<float> floats;
  const unsigned char* ordered = static_cast<const unsigned char*>(weights.data);
  if (taps > 1 && group_in > 1) {
    if (size == 1) bytes = channels_last_weights<std::uint8_t>(weights), ordered = bytes.data();
    else floats = channels_last_weights<float>(weights), ordered = reinterpret_cast<const unsigned char*>(floats.data());
  }
  packed_.reserve(static_cast<std::size_t>(groups_));
  for (Index g = 0; g < groups_; ++g) {
    packed_.emplace_back(
        kernels, gemm::RhsSource{ordered + g * group_out * depth * size, 1, depth, group_out, runs, depth / runs, weights.dtype != DType::Uint8});
  }
}

void Conv::pack_depthwise(const ConvWeights& weights) {
  const Index taps = taps_of(window_), padded = round_up(out_channels_, depthwise_kernels_.lanes), group = depthwise_kernels_.tap_group;
  const auto count = static_cast<std::size_t>(round_up(taps, group) * padded);
  if (is_float_) {
    depthwise_float_.resize(count);
    const auto* from = static_cast<const float*>(weights.data);
    for (Index c = 0; c < out_channels_; ++c) {
      for (Index t = 0; t < taps; ++t) depthwise_float_[static_cast<std::size_t>(t * padded + c)] = from[c * taps + t];
    }
    return;
  }
  depthwise_int8_.resize(count);
  depthwise_sums_.resize(static_cast<std::size_t>(padded));
  for (Index c = 0; c < out_channels_; ++c) {
    for (Index t = 0; t < taps; ++t) {
      const Index i = c * taps + t;
      const std::int32_t value =
          weights.dtype == DType::Int8 ? static_cast<const std::int8_t*>(weights.data)[i] : static_cast<const std::uint8_t*>(weights.data)[i];
      const std::int32_t centred = value - w_zero_[static_cast<std::size_t>(c)];
      depthwise_int8_[static_cast<std::size_t>((t / group * padded + c) * group + t % group)] = static_cast<std::int16_t>(centred);
      depthwise_sums_[static_cast<std::size_t>(c)] += centred;
    }
  }
  by_rows_ = depthwise_kernels_.run_rows != nullptr && window_.kernel[0] == 1 && window_.kernel[1] > 1 && window_.dilation[1] == 1;
  dot_ = !by_rows_ && depthwise_kernels_.dot_channels > 0 &&
         std::all_of(depthwise_int8_.begin(), depthwise_int8_.end(), [](std::int16_t w) { return w >= -128 && w <= 127; });
  if (dot_) pack_depthwise_dot();
  if (by_rows_) pack_depthwise_rows();
}

void Conv::pack_depthwise_dot() {
  const Index taps = taps_of(window_), block = depthwise_kernels_.dot_channels, groups = divide_up(taps, 4);
  const Index padded = round_up(out_channels_, depthwise_kernels_.lanes), tap_group = depthwise_kernels_.tap_group;
  const auto total = static_cast<std::size_t>(round_up(out_channels_, block));
  depthwise_dot_.resize(total * static_cast<std::size_t>(groups) * 4);
  // A block is one register of each tap. Interleaving works within 128-bit lanes, so of the kernel's four sums, sum j, lane l,
  // element i is channel 16 l + 4 j + i.
  for (Index c = 0; c < out_channels_; ++c) {
    const Index within = c % block, slot = within / 4 % 4 * (block / 4) + within / 16 * 4 + within % 4;
    for (Index t = 0; t < taps; ++t) {
      const Index at = ((c / block * groups + t / 4) * block + slot) * 4 + t % 4;
      const Index from = (t / tap_group * padded + c) * tap_group + t % tap_group;
      depthwise_dot_[static_cast<std::size_t>(at)] = static_cast<std::int8_t>(depthwise_int8_[static_cast<std::size_t>(from)]);
    }
  }
  depthwise_int8_.clear();
  depthwise_sums_.resize(total);
}

void Conv::pack_depthwise_rows() {
  const Index block = depthwise_kernels_.row_channels, height = window_.kernel[1], width = window_.kernel[2], pairs = height / 2 + 1;
  const Index padded = round_up(out_channels_, depthwise_kernels_.lanes), tap_group = depthwise_kernels_.tap_group;
  const Index blocks = divide_up(out_channels_, block), last = std::max(out_channels_ - block, Index{0});
  std::vector<std::int16_t> arranged(static_cast<std::size_t>(blocks * 2 * pairs * width * block * 2));
  for (Index b = 0; b < blocks; ++b) {
    const Index first = std::min(b * block, last);
    for (Index c = first; c < std::min(first + block, out_channels_); ++c) {
      for (Index t = 0; t < height * width; ++t) {
        const std::int16_t weight = depthwise_int8_[static_cast<std::size_t>((t / tap_group * padded + c) * tap_group + t % tap_group)];
        for (Index odd = 0; odd < 2; ++odd) {
          const Index row = t / width + odd;
          const Index at = ((((b * 2 + odd) * pairs + row / 2) * width + t % width) * block + c - first) * 2 + row % 2;
          arranged[static_cast<std::size_t>(at)] = weight;
        }
      }
    }
  }
  depthwise_int8_ = std::move(arranged);
  depthwise_sums_.resize(static_cast<std::size_t>(round_up(out_channels_, block)));
}

void Conv::set_channel_arrays(std::span<const float> w_scale, std::span<const std::int32_t> bias, float x_scale) {
  const Index group_cols = out_channels_ / groups_;
  const Index padded_group = depthwise_ ? 1 : packed_[0].padded_cols();
  const auto total = static_cast<std::size_t>(depthwise_ ? round_up(out_channels_, depthwise_lanes()) : padded_group * groups_);
  const std::vector<float> scales =
      w_scale.empty() ? std::vector<float>(static_cast<std::size_t>(out_channels_)) : multipliers(x_scale, w_scale, out_channels_, output_);
  multiplier_.resize(total);
  for (const bool is_signed : {false, true}) {
    auto& offset = column_offset_[is_signed];
    if (depthwise_) {
      offset.resize(total);
      const auto zero = static_cast<std::uint32_t>(x_zero_ + (dot_ ? gemm::applied_offset(depthwise_kernels_.lhs_offset, is_signed) : 0));
      for (std::size_t c = 0; c < depthwise_sums_.size(); ++c) offset[c] = wrap(0u - zero * static_cast<std::uint32_t>(depthwise_sums_[c]));
    } else {
      for (const auto& group : packed_) {
        const auto part = gemm::column_offsets(group, is_signed, x_zero_);
        offset.insert(offset.end(), part.begin(), part.end());
      }
    }
    for (Index c = 0; c < out_channels_; ++c) {
      const auto at = static_cast<std::size_t>(depthwise_ ? c : c / group_cols * padded_group + c % group_cols);
      multiplier_[at] = scales[static_cast<std::size_t>(c)];
      if (!bias.empty()) {
        offset[at] = wrap(static_cast<std::uint32_t>(offset[at]) + static_cast<std::uint32_t>(bias[static_cast<std::size_t>(c)]));
      }
    }
  }
}

std::size_t Conv::bytes() const {
  std::size_t total = depthwise_dot_.size() + depthwise_int8_.size() * sizeof(std::int16_t) + depthwise_float_.size() * sizeof(float);
  for (const auto& group : packed_) total += group.bytes();
  return total;
}

bool Conv::may_overrun(const ImageShape& image) const {
  if (by_rows_) return image.channels < depthwise_lanes();
  if (depthwise_) return image.channels % depthwise_lanes() != 0;
  // The driver copies the rows that would leave a matrix; windows and channel slices it can't tell apart from the next pixel's.
  const bool plain = taps_of(window_) == 1 && groups_ == 1;
  return !plain && packed_[0].tap_depth() % packed_[0].kernels().depth != 0;
}

void Conv::run_group(gemm::Lhs lhs, gemm::Epilogue epilogue, Index rows, std::size_t group) const {
  const gemm::PackedWeights& weights = packed_[group];
  const Index group_cols = out_channels_ / groups_, g = static_cast<Index>(group);
  const auto at = group * static_cast<std::size_t>(weights.padded_cols());
  lhs.data = static_cast<const unsigned char*>(lhs.data) + g * (in_channels_ / groups_) * (is_float_ ? 4 : lhs.is_wide ? 2 : 1);
  epilogue.out = static_cast<unsigned char*>(epilogue.out) + g * group_cols * size_of(output_.dtype);
  if (is_float_) {
    epilogue.bias = float_bias_.data() + at;
    gemm::run(weights, lhs, epilogue, rows);
    return;
  }
  epilogue.multiplier = multiplier_.data() + at;
  const gemm::ZeroPoints zeros(w_zero_.data() + group * static_cast<std::size_t>(group_cols), static_cast<std::size_t>(group_cols));
  if (gemm::needs_row_sums(weights, zeros)) {
    const gemm::Corrections corrections(weights, lhs, rows, {&x_zero_, 1}, zeros);
    corrections.apply(epilogue);
    epilogue.column_offset = column_offset_[lhs.is_signed].data() + at;
    gemm::run(weights, lhs, epilogue, rows);
  } else {
    epilogue.column_offset = column_offset_[lhs.is_signed].data() + at;
    gemm::run(weights, lhs, epilogue, rows);
  }
}

void Conv::run_plane(gemm::Lhs lhs, gemm::Epilogue epilogue, Index rows) const {
  if (!depthwise_) {
    for (std::size_t g = 0; g < packed_.size(); ++g) run_group(lhs, epilogue, rows, g);
    return;
  }
  epilogue.column_offset = column_offset_[lhs.is_signed].data();
  epilogue.multiplier = multiplier_.data();
  epilogue.bias = float_bias_.data();
  const void* weights = dot_ ? static_cast<const void*>(depthwise_dot_.data()) : depthwise_int8_.data();
  if (is_float_) weights = depthwise_float_.data();
  const auto kernel = dot_ ? depthwise_kernels_.run_dot : depthwise_kernels_.run;
  threading::parallel_for(rows, divide_up(lhs.taps * out_channels_, depthwise_products_per_unit), [&](Index begin, Index end) {
    kernel(lhs, weights, epilogue, {begin, end});
  });
}

void Conv::run_plane_by_rows(const PreparedImage& image, const Window& window, const gemm::Lhs& lhs, gemm::Epilogue epilogue, Index rows) const {
  epilogue.column_offset = column_offset_[lhs.is_signed].data();
  epilogue.multiplier = multiplier_.data();
  gemm::ImageRows plane{};
  plane.data = lhs.data;
  plane.height = image.size[1], plane.width = image.size[2], plane.channels = image.channels;
  plane.is_signed = lhs.is_signed;
  plane.fill = static_cast<std::uint8_t>(x_zero_);
  plane.out_width = lhs.inner_rows;
  plane.kernel_height = window.kernel[1], plane.kernel_width = window.kernel[2];
  plane.stride_height = window.stride[1], plane.stride_width = window.stride[2], plane.dilation_width = window.dilation[2];
  plane.pad_top = window.pad_begin[1], plane.pad_left = window.pad_begin[2];
  const Index work = divide_up(plane.out_width * lhs.taps * out_channels_, depthwise_products_per_unit);
  threading::parallel_for(rows / plane.out_width, work, [&](Index begin, Index end) {
    depthwise_kernels_.run_rows(plane, depthwise_int8_.data(), epilogue, {begin, end});
  });
}

void Conv::run(const void* x, DType x_dtype, const ImageShape& image, const Window& window, void* y) const {
  const Sizes out = output_size(image, window);
  const Index rows = out[1] * out[2], out_pixels = out[0] * rows;
  if (image.batch * out_pixels == 0) return;
  const auto zero = static_cast<std::uint8_t>(x_zero_);
  static constexpr float float_zero = 0;
  // A pixel in several windows, or in slices of a few channels: widened once, if the kernel reads int16.
  const bool wide = !is_float_ && !depthwise_ && packed_[0].kernels().lhs_element_size == 2 && (taps_of(window) > 1 || groups_ > 1);
  const Widen widen = !wide ? Widen::No : x_dtype == DType::Int8 ? Widen::Int8 : Widen::Uint8;
  Window borders = window;
  if (by_rows_) borders.pad_begin[1] = borders.pad_begin[2] = borders.pad_end[1] = borders.pad_end[2] = 0;  // the kernel's own
  const PreparedImage prepared =
      prepare(x, image, layout_, borders, size_of(x_dtype), is_float_ ? static_cast<const void*>(&float_zero) : &zero, may_overrun(image), widen);
  std::vector<Index> taps = tap_offsets(prepared, window, merge_width_);
  const auto tap_count = static_cast<Index>(taps.size());
  if (depthwise_)
    taps.resize(static_cast<std::size_t>(round_up(tap_count, dot_ ? 4 : depthwise_kernels_.tap_group)), taps[0]);  // read again, times zero weights

  const bool transposes = layout_ == Layout::ChannelsFirst && out_channels_ > 1;
  const Index size = size_of(output_.dtype);
  void* pixels_last = y;
  if (transposes) {
    pixels_last = tensor::scratch(tensor::Scratch::ChannelsLastOutput, static_cast<std::size_t>(image.batch * out_pixels * out_channels_ * size));
  }
  gemm::Epilogue epilogue = make_epilogue(output_);
  epilogue.row_stride = out_channels_;
  epilogue.float_low = low_;
  epilogue.float_high = high_;

  // A window of one position without stride makes all planes one matrix.
  const bool one_matrix = taps_of(window) == 1 && window.stride == Sizes{1, 1, 1};
  const Index planes = one_matrix ? 1 : image.batch * out[0];
  const Index plane_rows = one_matrix ? image.batch * out_pixels : rows;
  const auto run_planes = [&](Index begin, Index end) {
    for (Index plane = begin; plane < end; ++plane) {
      gemm::Lhs lhs = plane_lhs(prepared, window, out, plane, x_dtype == DType::Int8);
      if (one_matrix) lhs.inner_rows = plane_rows;
      lhs.tap_offsets = taps.data();
      lhs.taps = tap_count;
      lhs.tap_depth = depthwise_ ? image.channels : packed_[0].tap_depth();
      gemm::Epilogue to = epilogue;
      to.out = static_cast<unsigned char*>(pixels_last) + plane * rows * out_channels_ * size;
      if (by_rows_) run_plane_by_rows(prepared, window, lhs, to, plane_rows);
      else run_plane(lhs, to, plane_rows);
    }
  };
  // Whole planes to each thread where there are enough; else the threads share each plane.
  const Index products = plane_rows * out_channels_ * (in_channels_ / groups_) * taps_of(window);
  const Index plane_work = divide_up(products, depthwise_ ? depthwise_products_per_unit : gemm::products_per_unit);
  if (planes >= 2 * threading::num_threads()) threading::parallel_for(planes, plane_work, run_planes);
  else run_planes(0, planes);

  if (transposes) to_channels_first(pixels_last, image.batch, out_channels_, out_pixels, size, y);
}

}  // namespace qkern::ops
