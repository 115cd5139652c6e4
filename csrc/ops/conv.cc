#include "ops/conv.h"

#include "isa/kernel_table.h"
#include "ops/conv_depthwise.h"
#include "ops/conv_groups.h"
#include "tensor/scratch.h"
#include "threading/parallel_for.h"

namespace qkern::ops {
namespace {

template <class... Arguments>
std::unique_ptr<const ConvRoute> make_route(const ConvWeights& weights, const Arguments&... arguments) {
  if (weights.is_depthwise()) return std::make_unique<ConvDepthwise>(weights, arguments..., isa::active_kernels());
  return std::make_unique<ConvGroups>(weights, arguments..., isa::active_kernels());
}

}  // namespace

Conv::Conv(const ConvWeights& weights, const ConvQuantization& quantization, const LayerOutput& output, Layout layout)
    : isa_(isa::active_kernels().name),
      window_(weights.window),
      in_channels_(weights.in_channels),
      out_channels_(weights.out_channels),
      is_float_(false),
      output_(output),
      layout_(layout),
      x_zero_(quantization.x_zero),
      route_(make_route(weights, quantization, output)) {}

Conv::Conv(const ConvWeights& weights, std::span<const float> bias, float low, float high, Layout layout)
    : isa_(isa::active_kernels().name),
      window_(weights.window),
      in_channels_(weights.in_channels),
      out_channels_(weights.out_channels),
      is_float_(true),
      output_{DType::Float32, 1, 0, {}},
      layout_(layout),
      low_(low),
      high_(high),
      route_(make_route(weights, bias)) {}

void Conv::run(const void* x, DType x_dtype, const ImageShape& image, const Window& window, void* y) const {
  const Sizes out = output_size(image, window);
  const Index rows = out[1] * out[2], out_pixels = out[0] * rows;
  if (image.batch * out_pixels == 0) return;
  const auto zero = static_cast<std::uint8_t>(x_zero_);
  static constexpr float float_zero = 0;
  const ImageNeeds needs = route_->image_needs(image, x_dtype, window);
  const PreparedImage prepared = prepare(x, image, layout_, needs.borders, size_of(x_dtype),
                                         is_float_ ? static_cast<const void*>(&float_zero) : &zero, needs.may_overrun, needs.widen);
  std::vector<Index> taps = tap_offsets(prepared, window, needs.merges_width);
  const auto tap_count = static_cast<Index>(taps.size());
  taps.resize(static_cast<std::size_t>(round_up(tap_count, needs.tap_multiple)), taps[0]);

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
  const bool one_matrix = window.positions() == 1 && window.stride == Sizes{1, 1, 1};
  const Index planes = one_matrix ? 1 : image.batch * out[0];
  const Index plane_rows = one_matrix ? image.batch * out_pixels : rows;
  const auto run_planes = [&](Index begin, Index end) {
    for (Index plane = begin; plane < end; ++plane) {
      gemm::Lhs lhs = plane_lhs(prepared, window, out, plane, x_dtype == DType::Int8);
      if (one_matrix) lhs.inner_rows = plane_rows;
      lhs.tap_offsets = taps.data();
      lhs.taps = tap_count;
      lhs.tap_depth = needs.tap_depth;
      gemm::Epilogue to = epilogue;
      to.out = static_cast<unsigned char*>(pixels_last) + plane * rows * out_channels_ * size;
      route_->run({prepared, window, lhs, to, plane_rows});
    }
  };
  // Whole planes to each thread where there are enough; else the threads share each plane.
  if (planes >= 2 * threading::num_threads()) threading::parallel_for(planes, route_->work(plane_rows), run_planes);
  else run_planes(0, planes);

  if (transposes) to_channels_first(pixels_last, image.batch, out_channels_, out_pixels, size, y);
}

}  // namespace qkern::ops
