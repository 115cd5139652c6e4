#include "ops/conv.h"

#include <algorithm>
#include <stdexcept>

#include "ops/conv_depthwise.h"
#include "ops/conv_groups.h"
#include "tensor/scratch.h"
#include "threading/parallel_for.h"

namespace qkern::ops {
namespace {

template <class... Arguments>
std::unique_ptr<const ConvRoute> make_route(const isa::KernelTable& kernels, const ConvWeights& weights, const Arguments&... arguments) {
  if (weights.is_depthwise()) return std::make_unique<ConvDepthwise>(weights, arguments..., kernels);
  return std::make_unique<ConvGroups>(weights, arguments..., kernels);
}

LateRoute make_int8_route(const isa::KernelTable& kernels, const ConvWeights& weights, const ConvQuantization& quantization,
                          const LayerOutput& output, const ConvWinograd* winograd) {
  if (winograd == nullptr) return LateRoute(make_route(kernels, weights, quantization, output));
  const auto make = [](const ConvSource& source, const LayerOutput& of, const isa::KernelTable& by) {
    return make_route(by, source.weights(), source.quantization(), of);
  };
  return {make, winograd->source(), output, kernels};
}

}  // namespace

Conv::Conv(const ConvWeights& weights, const ConvQuantization& quantization, const LayerOutput& output, Layout layout, Algorithm algorithm,
           std::shared_ptr<PackingBudget> budget)
    : kernels_(isa::active_kernels()),
      window_(weights.window),
      in_channels_(weights.in_channels),
      out_channels_(weights.out_channels),
      groups_(weights.groups),
      is_float_(false),
      output_(output),
      layout_(layout),
      x_zero_(quantization.x_zero),
      winograd_(ConvWinograd::make(weights, quantization, output, kernels_, algorithm, std::move(budget))),
      route_(make_int8_route(kernels_, weights, quantization, output, winograd_.get())) {}

Conv::Conv(const ConvWeights& weights, std::span<const float> bias, float low, float high, Layout layout)
    : kernels_(isa::active_kernels()),
      window_(weights.window),
      in_channels_(weights.in_channels),
      out_channels_(weights.out_channels),
      groups_(weights.groups),
      is_float_(true),
      output_{DType::Float32, 1, 0, {}},
      layout_(layout),
      low_(low),
      high_(high),
      route_(make_route(kernels_, weights, bias)) {}

ConvPlan Conv::plan(DType x_dtype, const ImageShape& image, const Window& window) const { return plan(x_dtype, layout_, image, window, {}); }

ConvPlan Conv::plan(const Quantizer& quantizer, Layout x_layout, const ImageShape& image, const Window& window) const {
  return plan(quantizer.dtype, x_layout, image, window,
              ImageQuantizer{&kernels_.elementwise, quantizer.scale, quantizer.zero_point, quantizer.dtype});
}

ConvPlan Conv::plan(DType x_dtype, Layout x_layout, const ImageShape& image, const Window& window,
                    const std::optional<ImageQuantizer>& quantizer) const {
  ConvPlan plan{x_dtype, window, image.batch, output_size(image, window), {}, {}, 0, 0, 0, 0, 0, out_channels_};
  if (winograd_) plan.winograd = winograd_->choose(image.batch * plan.out[0], plan.out);
  const ImageNeeds image_needs = plan.winograd ? winograd_->image_needs(window) : route_->image_needs(x_dtype, window);
  plan.image = plan_image(image, x_layout, size_of(x_dtype), image_needs, quantizer);
  if (!plan.winograd) {
    const TapNeeds needs = route_->tap_needs();
    plan.tap_offsets = tap_offsets(plan.image.prepared, window, needs.merges_width);
    plan.taps = static_cast<Index>(plan.tap_offsets.size());
    plan.tap_depth = needs.depth;
    plan.tap_offsets.resize(static_cast<std::size_t>(round_up(plan.taps, needs.multiple)), plan.tap_offsets[0]);
  }
  // A window of one position without stride makes all planes one matrix, for a route that knows no images.
  const bool one_matrix = window.positions() == 1 && window.stride == Sizes{1, 1, 1} && route_->takes_bands();
  const Index rows = plan.out[1] * plan.out[2], planes = image.batch * plan.out[0];
  plan.planes = one_matrix ? 1 : planes;
  plan.plane_rows = one_matrix ? planes * rows : rows;
  plan.inner_rows = one_matrix ? plan.plane_rows : plan.out[2];
  return plan;
}

// Where an image is copied, each thread copies what it reads itself, a band of rows at a time: what another thread has written comes
// from its caches, at 1 us for 8 KB, and a band stays in this one's. Weights that are more than the image are better read once.
Index Conv::bands_of_plane(const ConvPlan& plan) const {
  constexpr Index band_bytes = 64 * 1024, small_weights = 128 * 1024, least_rows = 4;
  const ImagePlan& image = plan.image;
  if (image.road != ImagePlan::Road::Copy || image.prepared.size[0] > 1 || !route_->takes_bands()) return 0;
  const Index bytes = image.prepared.size[1] * image.row_bytes(), height = plan.out[1];
  if (static_cast<Index>(route_->bytes()) > std::max(small_weights, bytes)) return 0;
  Index bands = divide_up(bytes, band_bytes);
  const Index threads = threading::num_threads();
  if (threads > 1 && route_->work(plan.planes * plan.plane_rows) >= threading::worth_a_thread) {
    bands = std::max(bands, divide_up(2 * threads, plan.batch));
  }
  return std::clamp(bands, Index{1}, divide_up(height, least_rows));
}

void Conv::run(const ConvPlan& plan, const void* x, void* y) const { run(plan, x, y, nullptr); }

void Conv::run(const ConvPlan& plan, const void* x, void* y, const gemm::Finish& finish) const {
  if (layout_ != Layout::ChannelsLast) throw std::invalid_argument("a layer in the layout NCHW finishes no codes");
  const gemm::CodeFinisher finisher(kernels_.elementwise, finish, y, output_.dtype, out_channels_, plan.y_stride);
  run(plan, x, y, &finisher);
}

void Conv::run(const ConvPlan& plan, const void* x, void* y, const gemm::CodeFinisher* finish) const {
  if (plan.planes * plan.plane_rows == 0) return;
  const bool transposes = layout_ == Layout::ChannelsFirst && out_channels_ > 1;
  const Index size = size_of(output_.dtype), rows = plan.planes * plan.plane_rows;
  void* pixels_last = y;
  if (transposes) pixels_last = tensor::scratch(tensor::Scratch::ChannelsLastOutput, static_cast<std::size_t>(rows * out_channels_ * size));
  gemm::Epilogue epilogue = make_epilogue(output_);
  epilogue.row_stride = transposes ? out_channels_ : plan.y_stride;
  epilogue.float_low = low_;
  epilogue.float_high = high_;
  epilogue.out = pixels_last;
  const auto zero = static_cast<std::uint8_t>(x_zero_);
  static constexpr float float_zero = 0;
  const void* const fill = is_float_ ? static_cast<const void*>(&float_zero) : &zero;

  if (plan.winograd) {
    const PreparedImage prepared = prepare(plan.image, x, fill);
    winograd_->run(*plan.winograd, {prepared, plan.window, plan.out, plan.planes, plan.x_dtype == DType::Int8, epilogue, finish});
  } else if (const Index bands = bands_of_plane(plan); bands > 0) {
    run_bands(plan, bands, x, fill, epilogue, finish);
  } else {
    run_planes(plan, prepare(plan.image, x, fill), epilogue, finish);
  }
  if (transposes) to_channels_first(pixels_last, plan.batch, out_channels_, rows / plan.batch, size, y);
}

void Conv::run_bands(const ConvPlan& plan, Index bands, const void* x, const void* fill, const gemm::Epilogue& epilogue,
                     const gemm::CodeFinisher* finish) const {
  const Window& window = plan.window;
  const Index height = plan.out[1], width = plan.out[2], extent = window.dilation[1] * (window.kernel[1] - 1) + 1;
  threading::parallel_for(plan.batch * bands, divide_up(route_->work(height * width), bands), [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const Index plane = i / bands, first = i % bands * height / bands, last = (i % bands + 1) * height / bands - 1;
      const gemm::Range rows{first * window.stride[1], last * window.stride[1] + extent};
      const PreparedImage part = prepare_rows(plan.image, x, fill, plane, rows);
      run_rows(plan, part, 0, {(plane * height + first) * width, (plane * height + last + 1) * width}, epilogue, finish);
    }
  });
}

void Conv::run_planes(const ConvPlan& plan, const PreparedImage& prepared, const gemm::Epilogue& epilogue, const gemm::CodeFinisher* finish) const {
  const auto run = [&](Index begin, Index end) {
    for (Index plane = begin; plane < end; ++plane) {
      run_rows(plan, prepared, plane, {plane * plan.plane_rows, (plane + 1) * plan.plane_rows}, epilogue, finish);
    }
  };
  // Whole planes to each thread where there are enough, and none takes much longer than a chunk; else the threads share each plane.
  const Index work = route_->work(plan.plane_rows);
  if (work <= 2 * threading::chunk_work && plan.planes >= 2 * threading::num_threads()) threading::parallel_for(plan.planes, work, run);
  else run(0, plan.planes);
}

void Conv::run_rows(const ConvPlan& plan, const PreparedImage& image, Index plane, gemm::Range rows, const gemm::Epilogue& epilogue,
                    const gemm::CodeFinisher* finish) const {
  gemm::Lhs lhs = plane_lhs(image, plan.window, plan.out, plane, plan.x_dtype == DType::Int8);
  lhs.inner_rows = plan.inner_rows;
  lhs.tap_offsets = plan.tap_offsets.data();
  lhs.taps = plan.taps;
  lhs.tap_depth = plan.tap_depth;
  gemm::Epilogue to = epilogue;
  to.out = static_cast<unsigned char*>(to.out) + rows.begin * epilogue.row_stride * size_of(output_.dtype);
  route_->run({image, plan.window, lhs, to, rows.end - rows.begin, finish});
}

}  // namespace qkern::ops
