#include "ops/conv_winograd.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "tensor/sizes.h"
#include "threading/parallel_for.h"

namespace qkern::ops {
namespace {

constexpr Index least_channels = 16;  // of a group, for `auto`
constexpr const char* names[] = {"winograd2", "winograd4"};

// What keeps a layer from every form; empty: nothing.
std::string obstacle(const ConvWeights& weights, const ConvQuantization& quantization) {
  const Window& window = weights.window;
  if (window.kernel != Sizes{1, 3, 3}) return "its kernel isn't 3 x 3";
  if (window.stride != Sizes{1, 1, 1}) return "its strides aren't 1";
  if (window.dilation != Sizes{1, 1, 1}) return "its dilations aren't 1";
  if (weights.is_depthwise()) return "it is depthwise";
  const auto& zeros = quantization.w_zero;
  if (std::any_of(zeros.begin(), zeros.end(), [](std::int32_t zero) { return zero != 0; })) return "its weights have a zero point";
  return {};
}

// The largest magnitude that a channel's sum of products of codes can have.
template <class T>
std::int64_t largest_sum(const T* weights, Index channels, Index depth) {
  std::int64_t largest = 0;
  for (Index c = 0; c < channels; ++c, weights += depth) {
    std::int64_t positive = 0, negative = 0;
    for (Index d = 0; d < depth; ++d) {
      if (weights[d] > 0) positive += weights[d];
      else negative -= weights[d];
    }
    largest = std::max({largest, positive, negative});
  }
  return 255 * largest;
}

std::int64_t largest_sum(const ConvWeights& weights) {
  const Index depth = weights.in_channels / weights.groups * weights.window.positions();
  if (weights.dtype == DType::Int8) return largest_sum(static_cast<const std::int8_t*>(weights.data), weights.out_channels, depth);
  return largest_sum(static_cast<const std::uint8_t*>(weights.data), weights.out_channels, depth);
}

// Whether the tier has a faster kernel for the direct way by these weights. Tap by tap, which is as kernels read them where the channels
// are even in number.
bool is_faster_directly(const ConvWeights& weights, const isa::KernelTable& kernels) {
  const Index in = weights.in_channels / weights.groups, taps = weights.window.positions();
  std::vector<gemm::RhsSource> sources;
  for (Index tap = 0; tap < taps; ++tap) {
    sources.push_back(
        {static_cast<const std::uint8_t*>(weights.data) + tap, taps, in * taps, weights.out_channels, 1, in, weights.dtype == DType::Int8});
  }
  return &isa::int8_kernels(kernels, sources) == &kernels.int8_safe;
}

}  // namespace

std::unique_ptr<const ConvWinograd> ConvWinograd::make(const ConvWeights& weights, const ConvQuantization& quantization, const LayerOutput& output,
                                                       const isa::KernelTable& kernels, Algorithm algorithm, std::shared_ptr<PackingBudget> budget) {
  if (algorithm == Algorithm::Direct) return nullptr;
  const bool is_forced = algorithm != Algorithm::Auto;
  const auto refused = [&](const std::string& why) {
    if (is_forced) throw std::invalid_argument("algorithm: the layer can't be computed by Winograd: " + why);
    return nullptr;
  };
  const std::string why = obstacle(weights, quantization);
  if (!why.empty()) return refused(why);
  // Fewer channels don't fill the vectors of the transforms.
  const Index channels = std::min(weights.in_channels, weights.out_channels) / weights.groups;
  if (!is_forced && (kernels.winograd.costs == nullptr || channels < least_channels)) return nullptr;
  std::unique_ptr<ConvWinograd> made(new ConvWinograd(std::make_shared<ConvSource>(weights, quantization), output, kernels.winograd));
  made->is_forced_ = is_forced;
  if (!is_forced) made->budget_ = std::move(budget);
  made->safe_weights_ = !is_forced && is_faster_directly(weights, kernels);
  const std::int64_t largest = largest_sum(weights);
  bool any = false;
  for (int form = 0; form < forms; ++form) {
    const bool wanted = !is_forced || form == (algorithm == Algorithm::Winograd2 ? 0 : 1);
    made->packed_[form].allowed = wanted && largest < kernels.winograd.form[form].limit;
    any = any || made->packed_[form].allowed;
  }
  if (!any) return refused("its weights are so many and so large that a sum could leave the range in which this is exact");
  return made;
}

ConvWinograd::ConvWinograd(std::shared_ptr<const ConvSource> source, const LayerOutput& output, const conv::WinogradKernels& kernels)
    : kernels_(kernels),
      groups_(source->weights().groups),
      group_in_(source->weights().in_channels / groups_),
      group_out_(source->weights().out_channels / groups_),
      x_zero_(source->quantization().x_zero),
      source_(std::move(source)),
      channels_(column_offsets(), column_offsets(), source_->quantization(), groups_ * group_out_, output,
                [this](Index channel) { return column(channel); }) {}

std::vector<std::int32_t> ConvWinograd::column_offsets() const {
  std::vector<std::int32_t> offsets(static_cast<std::size_t>(groups_ * padded_out()));
  const ConvWeights& weights = source_->weights();
  const auto* codes = static_cast<const std::uint8_t*>(weights.data);
  for (Index c = 0; c < weights.out_channels; ++c) {
    std::uint32_t sum = 0;
    for (Index d = 0; d < group_in_ * 9; ++d, ++codes) {
      sum += static_cast<std::uint32_t>(weights.dtype == DType::Int8 ? std::int32_t{static_cast<std::int8_t>(*codes)} : std::int32_t{*codes});
    }
    offsets[static_cast<std::size_t>(column(c))] = static_cast<std::int32_t>(0u - static_cast<std::uint32_t>(x_zero_) * sum);
  }
  return offsets;
}

Index ConvWinograd::group_elements(const conv::WinogradKernel& kernel) const {
  const Index depth = round_up(group_in_, kernels_.depth);
  return tensor::checked_product("the weights", {kernel.positions * kernel.positions, depth, padded_out()});
}

std::size_t ConvWinograd::packed_bytes(int form) const {
  const Index each = group_elements(kernels_.form[form]);
  return static_cast<std::size_t>(tensor::checked_product("the weights", {groups_, each, Index{sizeof(std::int16_t)}}));
}

void ConvWinograd::pack(int form) const {
  constexpr std::size_t alignment = 64;
  const conv::WinogradKernel& kernel = kernels_.form[form];
  const ConvWeights& weights = source_->weights();
  const Index each = group_elements(kernel), weights_each = group_out_ * group_in_ * 9;
  const auto* const codes = static_cast<const std::uint8_t*>(weights.data);
  const std::size_t bytes = packed_bytes(form);
  Packed& packed = packed_[form];
  std::size_t room = bytes + alignment;
  packed.memory.reset(new std::byte[room]);
  void* aligned = packed.memory.get();
  auto* const panels = static_cast<std::int16_t*>(std::align(alignment, bytes, aligned, room));
  threading::parallel_for(groups_, weights_each * kernel.positions, [&](Index begin, Index end) {
    for (Index g = begin; g < end; ++g) kernel.pack(codes + g * weights_each, weights.dtype == DType::Int8, group_out_, group_in_, panels + g * each);
  });
  packed.form = {&kernel, panels, names[form]};
  bytes_ += bytes;
}

const ConvWinograd::Form* ConvWinograd::packed(int form) const {
  Packed& packed = packed_[form];
  std::call_once(packed.once, [&] {
    if (budget_ == nullptr || budget_->take(packed_bytes(form))) pack(form);
  });
  return packed.form.kernel == nullptr ? nullptr : &packed.form;
}

const ConvWinograd::Form* ConvWinograd::choose(Index planes, const Sizes& out) const {
  if (is_forced_) return packed(packed_[0].allowed ? 0 : 1);
  // By so much a form has to be faster: what the constants are off by at most, where layers gain little.
  constexpr double gain = 0.85;
  const ConvSizes of = sizes(planes, out);
  const double most = gain * direct_cost(kernels_, safe_weights_, of);
  double costs[forms];
  for (int form = 0; form < forms; ++form) costs[form] = packed_[form].allowed ? winograd_cost(kernels_, form, of) : most;
  const int best = costs[1] < costs[0] ? 1 : 0;
  for (const int form : {best, 1 - best}) {
    if (costs[form] >= most) continue;
    if (const Form* found = packed(form)) return found;
  }
  return nullptr;
}

const char* ConvWinograd::name() const { return is_forced_ ? names[packed_[0].allowed ? 0 : 1] : "auto"; }

namespace {

// Runs `finish` over the pixels of tiles: of each row of neighbours at once.
void finish_tiles(const conv::WinogradImage& image, Index tile, const gemm::Epilogue& epilogue, gemm::Range tiles, gemm::Range cols,
                  const gemm::CodeFinisher& finish) {
  const Index across = divide_up(image.out_width, tile), down = divide_up(image.out_height, tile);
  for (Index t = tiles.begin; t < tiles.end;) {
    const Index next = std::min(tiles.end, (t / across + 1) * across), plane = t / across / down, top = t / across % down * tile;
    const Index left = t % across * tile, right = std::min((next - 1) % across * tile + tile, image.out_width);
    for (Index row = top; row < std::min(top + tile, image.out_height); ++row) {
      const Index pixel = (plane * image.out_height + row) * image.out_width + left;
      finish(static_cast<unsigned char*>(epilogue.out) + pixel * epilogue.row_stride + cols.begin, epilogue.row_stride, right - left,
             cols.end - cols.begin);
    }
    t = next;
  }
}

}  // namespace

void ConvWinograd::run(const Form& form, const Call& call) const {
  const conv::WinogradKernel& kernel = *form.kernel;
  const Index each = group_elements(kernel);
  const WinogradBlocks blocks(kernels_, kernel, sizes(call.planes, call.out));
  const conv::WinogradImage image{call.image.data,
                                  call.image.size[1],
                                  call.image.size[2],
                                  call.image.channels,
                                  group_in_,
                                  call.is_signed,
                                  static_cast<std::uint8_t>(x_zero_),
                                  call.window.pad_begin[1],
                                  call.window.pad_begin[2],
                                  call.out[1],
                                  call.out[2]};
  threading::parallel_for(groups_ * blocks.across * blocks.down, blocks.work, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const Index down = i % blocks.down * blocks.tiles, across = i / blocks.down % blocks.across * blocks.panels;
      const Index group = i / blocks.down / blocks.across;
      const gemm::Range of_tiles{down, std::min(down + blocks.tiles, blocks.all_tiles)},
          of_panels{across, std::min(across + blocks.panels, blocks.all_panels)};
      conv::WinogradImage own = image;
      own.data = static_cast<const unsigned char*>(image.data) + group * group_in_;
      gemm::Epilogue epilogue = call.epilogue;
      epilogue.out = static_cast<unsigned char*>(epilogue.out) + group * group_out_ * size_of(epilogue.kind);
      channels_.apply(epilogue, call.is_signed, group * padded_out());
      kernel.run(own, {form.panels + group * each, group_out_}, epilogue, of_tiles, of_panels);
      if (call.finish == nullptr) continue;
      const gemm::Range cols{of_panels.begin * kernels_.cols, std::min(of_panels.end * kernels_.cols, group_out_)};
      finish_tiles(own, kernel.tile, epilogue, of_tiles, cols, *call.finish);
    }
  });
}

}  // namespace qkern::ops
