#include "ops/conv_groups.h"

#include <algorithm>

#include "gemm/product.h"

namespace qkern::ops {
namespace {

// [out, in, taps] -> [out, taps, in]: the order in which a window is read channels last.
template <class T>
std::vector<T> channels_last_weights(const ConvWeights& weights) {
  const Index in = weights.in_channels / weights.groups, taps = weights.window.positions();
  std::vector<T> copy(static_cast<std::size_t>(weights.out_channels * in * taps));
  to_channels_last(weights.data, weights.out_channels, in, taps, static_cast<Index>(sizeof(T)), copy.data());
  return copy;
}

// Narrow groups side by side as one: between the channels of different groups stands the weights' zero point, which contributes
// nothing. Several times the multiplications are cheaper than rows of a few bytes and tiles of a few columns, up to a width that depends
// on how many the tier does at once (docs/decisions/0023-merge-narrow-groups.md). Not for float, where 0 * inf would contribute.
class MergedGroups {
 public:
  MergedGroups(const ConvWeights& weights, const ConvQuantization& quantization, const gemm::GemmKernels& kernels) : weights_(weights) {
    const Index enough = kernels.depth < 4 ? 8 : 16;  // channels of a group
    const Index in = weights.in_channels / weights.groups, out = weights.out_channels / weights.groups, taps = weights.window.positions();
    Index merge = 1;
    while (weights.groups % (2 * merge) == 0 && 2 * merge * std::max(in, out) <= enough) merge *= 2;
    if (merge == 1) return;
    bytes_.resize(static_cast<std::size_t>(weights.out_channels * merge * in * taps));
    const auto* from = static_cast<const std::uint8_t*>(weights.data);
    for (Index c = 0; c < weights.out_channels; ++c) {
      const Index place = c / out % merge;
      std::uint8_t* to = bytes_.data() + c * merge * in * taps;
      std::fill_n(to, merge * in * taps, static_cast<std::uint8_t>(quantization.w_zero_of(c)));
      std::copy_n(from + c * in * taps, in * taps, to + place * in * taps);
    }
    weights_.data = bytes_.data();
    weights_.groups /= merge;
    weights_.levels = {};  // a zero point need not be one
  }
  const ConvWeights& weights() const { return weights_; }

 private:
  std::vector<std::uint8_t> bytes_;
  ConvWeights weights_;
};

bool merges_width(const ConvWeights& weights) { return weights.groups == 1 && weights.window.dilation[2] == 1; }

std::vector<gemm::PackedWeights> pack_groups(const ConvWeights& weights, const isa::KernelTable& kernels) {
  const Index out = weights.out_channels / weights.groups, in = weights.in_channels / weights.groups, taps = weights.window.positions();
  const Index runs = merges_width(weights) ? taps / weights.window.kernel[2] : taps;
  const Index size = size_of(weights.dtype), depth = in * taps;
  std::vector<std::uint8_t> bytes;
  std::vector<float> floats;
  const unsigned char* ordered = static_cast<const unsigned char*>(weights.data);
  if (taps > 1 && in > 1) {
    if (size == 1) bytes = channels_last_weights<std::uint8_t>(weights), ordered = bytes.data();
    else floats = channels_last_weights<float>(weights), ordered = reinterpret_cast<const unsigned char*>(floats.data());
  }
  std::vector<gemm::RhsSource> sources;
  for (Index g = 0; g < weights.groups; ++g) {
    sources.push_back({ordered + g * out * depth * size, 1, depth, out, runs, depth / runs, weights.dtype != DType::Uint8});
  }
  // One kernel for all groups: they read one image.
  const gemm::GemmKernels& kernel = weights.dtype == DType::Float32 ? kernels.float32 : isa::int8_kernels(kernels, sources);
  std::vector<gemm::PackedWeights> packed;
  packed.reserve(sources.size());
  for (const gemm::RhsSource& source : sources) packed.emplace_back(kernel, source, weights.levels);
  return packed;
}

}  // namespace

ConvGroups::ConvGroups(const ConvWeights& weights, const ConvQuantization& quantization, const LayerOutput& output, const isa::KernelTable& kernels)
    : ConvGroups(Merged{}, MergedGroups(weights, quantization, kernels.int8).weights(), quantization, output, kernels) {
  merged_ = weights.groups / static_cast<Index>(packed_.size());
}

ConvGroups::ConvGroups(Merged, const ConvWeights& merged, const ConvQuantization& quantization, const LayerOutput& output,
                       const isa::KernelTable& kernels)
    : taps_(merged.window.positions()),
      group_in_(merged.in_channels / merged.groups),
      group_out_(merged.out_channels / merged.groups),
      merges_width_(merges_width(merged)),
      packed_(pack_groups(merged, kernels)),
      x_zero_(quantization.x_zero),
      channels_(column_offsets(false, x_zero_), column_offsets(true, x_zero_), quantization, merged.out_channels, output,
                [this](Index channel) { return column(channel); }) {
  std::vector<std::int32_t> w_zero(static_cast<std::size_t>(group_out_));
  for (std::size_t g = 0; g < packed_.size(); ++g) {
    for (std::size_t c = 0; c < w_zero.size(); ++c) w_zero[c] = quantization.w_zero_of(static_cast<Index>(g * w_zero.size() + c));
    column_zero_.push_back(gemm::column_zeros(packed_[g], w_zero));
  }
}

ConvGroups::ConvGroups(const ConvWeights& weights, std::span<const float> bias, const isa::KernelTable& kernels)
    : taps_(weights.window.positions()),
      group_in_(weights.in_channels / weights.groups),
      group_out_(weights.out_channels / weights.groups),
      merges_width_(merges_width(weights)),
      packed_(pack_groups(weights, kernels)),
      channels_(packed_[0].padded_cols() * weights.groups, bias, [this](Index channel) { return column(channel); }) {}

std::vector<std::int32_t> ConvGroups::column_offsets(bool is_signed, std::int32_t x_zero) const {
  std::vector<std::int32_t> offsets;
  for (const gemm::PackedWeights& group : packed_) {
    const std::vector<std::int32_t> part = gemm::column_offsets(group, is_signed, x_zero);
    offsets.insert(offsets.end(), part.begin(), part.end());
  }
  return offsets;
}

ImageNeeds ConvGroups::image_needs(DType dtype, const Window& window) const {
  const bool one_group = packed_.size() == 1, one_tap = taps_ == 1;
  // The driver copies the rows that would leave a matrix; windows and channel slices it can't tell apart from the next pixel's.
  const bool may_overrun = !(one_tap && one_group) && packed_[0].tap_depth() % packed_[0].kernels().depth != 0;
  // A pixel in several windows, or in slices of a few channels: widened once, if the kernel reads int16.
  const bool widens = packed_[0].kernels().lhs_element_size == 2 && !(one_tap && one_group);
  const Widen widen = !widens ? Widen::No : dtype == DType::Int8 ? Widen::Int8 : Widen::Uint8;
  return {window.pad_begin, window.pad_end, may_overrun, widen};
}

TapNeeds ConvGroups::tap_needs() const { return {merges_width_, 1, packed_[0].tap_depth()}; }

Index ConvGroups::work(Index rows) const {
  return divide_up(rows * group_out_ * static_cast<Index>(packed_.size()) * group_in_ * taps_, gemm::products_per_unit);
}

void ConvGroups::run(const ConvPlane& plane) const {
  const Index element_size = plane.image.element_size, out_size = size_of(plane.epilogue.kind);
  for (std::size_t g = 0; g < packed_.size(); ++g) {
    const gemm::PackedWeights& weights = packed_[g];
    const Index group = static_cast<Index>(g), first = group * weights.padded_cols();
    gemm::Lhs lhs = plane.lhs;
    lhs.data = static_cast<const unsigned char*>(lhs.data) + group * group_in_ * element_size;
    gemm::Epilogue epilogue = plane.epilogue;
    epilogue.out = static_cast<unsigned char*>(epilogue.out) + group * group_out_ * out_size;
    channels_.apply(epilogue, lhs.is_signed, first);
    if (!column_zero_.empty() && !column_zero_[g].empty()) {
      epilogue.terms[epilogue.term_count++] = gemm::row_sum_term(weights, lhs, plane.rows, {&x_zero_, 1}, column_zero_[g].data());
    }
    gemm::run(weights, lhs, epilogue, plane.rows, plane.finish);
  }
}

std::string ConvGroups::name() const {
  if (merged_ > 1) return "grouped, " + std::to_string(merged_) + " merged";
  const std::string name = packed_.size() > 1 ? "grouped" : taps_ == 1 ? "1x1" : "direct";
  return bits() == 4 ? name + ", 4-bit codes" : name;
}

const gemm::GemmKernels* ConvGroups::tile() const { return &packed_[0].kernels(); }

std::size_t ConvGroups::bytes() const {
  std::size_t total = 0;
  for (const auto& group : packed_) total += group.bytes();
  return total;
}

}  // namespace qkern::ops
