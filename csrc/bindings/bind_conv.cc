#include <pybind11/stl.h>

#include "bindings/constructed.h"
#include "bindings/finish.h"
#include "bindings/geometry.h"
#include "bindings/layer.h"
#include "bindings/levels.h"
#include "bindings/native_call.h"
#include "ops/conv.h"
#include "program/calls.h"
#include "tensor/sizes.h"

namespace qkern::bindings {
namespace {

// A convolution and the padding that depends on the image.
struct ConvLayer {
  ops::Conv conv;
  Padding padding;
  std::size_t axes;
};

struct Geometry {
  ops::ConvWeights weights;
  Padding padding;
  std::size_t axes;
};

Geometry geometry(const py::array& weight, DType dtype, const py::object& strides, const py::object& padding, const py::object& dilations,
                  Index groups, const char* argument) {
  const Shape shape = shape_of(weight);
  if (shape.size() < 3 || shape.size() > 5) {
    value_error(std::string(argument) + " has shape " + to_string(shape) + "; expected (out, in / groups, kernel...) with 1 to 3 spatial axes");
  }
  const std::size_t axes = shape.size() - 2;
  const Shape kernel(shape.begin() + 2, shape.end());
  for (const Index size : kernel) {
    if (size < 1) value_error(std::string(argument) + " has an empty kernel: shape " + to_string(shape));
  }
  if (groups < 1) value_error("groups must be at least 1");
  if (shape[0] % groups != 0)
    value_error("groups " + std::to_string(groups) + " does not divide the " + std::to_string(shape[0]) + " output channels");
  const ops::Window window = make_window(kernel, per_axis(strides, "strides", axes, 1), per_axis(dilations, "dilations", axes, 1));
  const Index in_channels = tensor::checked_product("groups", {shape[1], groups});
  return {{weight.data(), dtype, shape[0], in_channels, groups, window}, parse_padding(padding, axes), axes};
}

// Shapes of one call.
struct Call {
  ops::ImageShape image;
  ops::Window window;
  Shape shape;
};

Call call_shape(const ops::Conv& conv, const Padding& padding, std::size_t axes, const Shape& x, const char* argument = "x") {
  if (x.size() != axes + 2) {
    value_error(std::string(argument) + " has shape " + to_string(x) + "; expected " + std::to_string(axes + 2) + " dimensions");
  }
  Call call{image_shape(x, conv.layout(), argument), {}, {}};
  if (call.image.channels != conv.in_channels()) {
    value_error(std::string(argument) + " has " + std::to_string(call.image.channels) + " channels; the weights expect " +
                std::to_string(conv.in_channels()));
  }
  call.window = with_padding(conv.window(), padding, call.image, axes);
  call.shape = output_shape(call.image, call.window, conv.out_channels(), conv.layout(), axes);
  return call;
}

py::object run(const ops::Conv& conv, const Padding& padding, std::size_t axes, const py::array& x, DType dtype, const py::object& out) {
  const py::array input = contiguous(x);
  const Call call = call_shape(conv, padding, axes, shape_of(input));
  Output output(out, call.shape, conv.output().dtype, {&input});
  const void* from = input.data();
  void* result = output.data();
  {
    const WithoutGil release;
    conv.run(conv.plan(dtype, call.image, call.window), from, result);
  }
  return output.finish();
}

py::object conv(const py::array& x, const py::array& w, const py::object& strides, const py::object& padding, const py::object& dilations,
                Index groups, const std::string& layout, std::int64_t x_zero_point, const py::object& w_zero_point, const py::object& out) {
  const DType x_type = dtype_of(x, "x", codes), w_type = dtype_of(w, "w", codes);
  const py::array weight = contiguous(w);
  const Geometry g = geometry(weight, w_type, strides, padding, dilations, groups, "w");
  const auto w_zero = zero_points(w_zero_point, "w_zero_point", g.weights.out_channels, w_type);
  const std::int32_t x_zero = zero_point(x_zero_point, "x_zero_point", x_type);
  ops::LayerOutput output;
  output.dtype = DType::Int32;
  const ops::Layout order = parse_layout(layout);
  const auto layer = [&] {
    const WithoutGil release;
    return ops::Conv(g.weights, {{}, w_zero, {}, 1, x_zero}, output, order, ops::Algorithm::Direct);  // packs for one call
  }();
  return run(layer, g.padding, g.axes, x, x_type, out);
}

ops::Algorithm parse_algorithm(const std::string& name) {
  if (name == "auto") return ops::Algorithm::Auto;
  if (name == "direct") return ops::Algorithm::Direct;
  if (name == "winograd2") return ops::Algorithm::Winograd2;
  if (name == "winograd4") return ops::Algorithm::Winograd4;
  value_error("algorithm '" + name + "' is none of auto, direct, winograd2, winograd4");
}

// By which a layer adds to its network's budget, in weights. A network may have 4 bytes for each; a layer keeps its weights as they came, and
// packs them for the direct way.
constexpr std::size_t share_of_budget = 2;

ConvLayer make_qconv(const py::array& weight, const py::object& weight_scale, const py::object& bias, double x_scale, std::int64_t x_zero,
                     const py::object& weight_zero_point, const std::optional<double>& y_scale, std::int64_t y_zero, const py::object& y_dtype,
                     const Clamp& clamp, const py::object& strides, const py::object& padding, const py::object& dilations, Index groups,
                     const std::string& layout, const std::string& algorithm, const py::object& levels,
                     const std::shared_ptr<ops::PackingBudget>& budget) {
  const GivenWeights given = given_weights(weight, "weight", levels);
  const DType dtype = given.dtype;
  Geometry g = geometry(given.values, dtype, strides, padding, dilations, groups, "weight");
  g.weights.levels = given.levels;
  const Index channels = g.weights.out_channels;
  const auto scale = positive_floats(weight_scale, "weight_scale", channels);
  const auto zero = zero_points(weight_zero_point, "weight_zero_point", channels, dtype);
  std::vector<std::int32_t> biases;
  if (!bias.is_none()) biases = integers(bias, "bias", channels, INT32_MIN, INT32_MAX);
  if (!bias.is_none() && static_cast<Index>(biases.size()) != channels) value_error("bias must have shape (" + std::to_string(channels) + ",)");
  const float x = positive_float(x_scale, "x_scale");
  const ops::LayerOutput output = layer_output(y_scale, y_zero, y_dtype, clamp);
  check_multipliers(scale, x, output);
  const std::int32_t zero_x = activation_zero_point(x_zero);
  const ops::Layout order = parse_layout(layout);
  const ops::Algorithm by = parse_algorithm(algorithm);
  const WithoutGil release;
  ConvLayer made{ops::Conv(g.weights, {scale, zero, biases, x, zero_x}, output, order, by, budget), g.padding, g.axes};
  if (budget) budget->add(share_of_budget * static_cast<std::size_t>(given.values.size()));
  return made;
}

ConvLayer make_conv(const py::array& weight, const py::object& bias, const std::optional<std::pair<double, double>>& clamp, const py::object& strides,
                    const py::object& padding, const py::object& dilations, Index groups, const std::string& layout) {
  dtype_of(weight, "weight", {DType::Float32});
  const py::array w = contiguous(weight);
  const Geometry g = geometry(w, DType::Float32, strides, padding, dilations, groups, "weight");
  const auto [low, high] = float_clamp(clamp);
  return {ops::Conv(g.weights, float_bias(bias, g.weights.out_channels), low, high, parse_layout(layout)), g.padding, g.axes};
}

py::object call(const ConvLayer& layer, const py::array& x, const py::object& out) {
  if (layer.conv.is_float()) return run(layer.conv, layer.padding, layer.axes, x, dtype_of(x, "x", {DType::Float32}), out);
  const DType dtype = dtype_of(x, "x", codes);
  check_zero_point(layer.conv.x_zero_point(), dtype);
  return run(layer.conv, layer.padding, layer.axes, x, dtype, out);
}

// x float32, channels first: scale and zero point of its codes, and their dtype.
using Quantize = std::tuple<double, std::int64_t, py::object>;

py::object call_fused(const ConvLayer& layer, const py::array& x, const std::optional<Quantize>& quantize, const std::optional<Addition>& add,
                      const std::optional<py::array>& table, const py::object& out) {
  const ops::Conv& conv = layer.conv;
  const py::array input = contiguous(x);
  const DType dtype = dtype_of(input, "x", quantize ? std::initializer_list<DType>{DType::Float32} : codes);
  Shape shape = shape_of(input);
  if (quantize && shape.size() > 2) std::rotate(shape.begin() + 1, shape.begin() + 2, shape.end());
  const Call call = call_shape(conv, layer.padding, layer.axes, shape);
  const ops::ConvPlan plan = [&] {
    if (!quantize) return conv.plan(dtype, call.image, call.window);
    const DType to = parse_dtype(std::get<2>(*quantize), "dtype", codes);
    const ops::Quantizer quantizer{positive_float(std::get<0>(*quantize), "scale"), zero_point(std::get<1>(*quantize), "zero_point", to), to};
    return conv.plan(quantizer, ops::Layout::ChannelsFirst, call.image, call.window);
  }();
  check_zero_point(conv.x_zero_point(), plan.x_dtype);
  const FinishArguments arguments(add, table, conv.output(), call.shape);
  Output output(out, call.shape, arguments.dtype(), {&input, &arguments.other(), &arguments.table()});
  const void* from = input.data();
  void* result = output.data();
  {
    const WithoutGil release;
    conv.run(plan, from, result, arguments.finish());
  }
  return output.finish();
}

py::tuple layer_output_shape(const ConvLayer& layer, const Shape& x_shape) {
  return py::tuple(py::cast(call_shape(layer.conv, layer.padding, layer.axes, x_shape, "x_shape").shape));
}

std::string route_of(const ConvLayer& layer, const Shape& x_shape) {
  const Call call = call_shape(layer.conv, layer.padding, layer.axes, x_shape, "x_shape");
  return layer.conv.route(layer.conv.plan(DType::Uint8, call.image, call.window));
}

// [out, in / groups, kernel...]
py::tuple weight_shape(const ConvLayer& layer) {
  const ops::Conv& conv = layer.conv;
  const auto& kernel = conv.window().kernel;
  Shape shape{conv.out_channels(), conv.in_channels() / conv.groups()};
  shape.insert(shape.end(), kernel.end() - static_cast<std::ptrdiff_t>(layer.axes), kernel.end());
  return py::tuple(py::cast(shape));
}

// Two Python types over one C++ layer: int8 and float32 differ in their constructor only.
struct QConv : ConvLayer, OnlyConstructed {
  explicit QConv(ConvLayer&& layer) : ConvLayer(std::move(layer)) {}
};
struct FloatConv : ConvLayer, OnlyConstructed {
  explicit FloatConv(ConvLayer&& layer) : ConvLayer(std::move(layer)) {}
};

struct PackingBudget : ops::PackingBudget, OnlyConstructed {
  using ops::PackingBudget::PackingBudget;
};

std::shared_ptr<const ops::Conv> native_layer(const std::shared_ptr<ConvLayer>& layer) {
  if (layer->conv.layout() != ops::Layout::ChannelsLast) value_error("layer: a program's images are channels last");
  return {layer, &layer->conv};
}

ops::ConvPlan to_rows(ops::ConvPlan plan, std::optional<Index> y_stride) {
  if (y_stride && *y_stride < plan.y_stride) value_error("y_stride is less than the channels");
  if (y_stride) plan.y_stride = *y_stride;
  return plan;
}

NativeCallPtr native_float_conv(const std::shared_ptr<FloatConv>& layer, const Shape& x_shape, const py::object& x_dtype,
                                std::optional<Index> y_stride) {
  const auto conv = native_layer(layer);
  const DType dtype = parse_dtype(x_dtype, "x", {DType::Float32});
  const Call call = call_shape(*conv, layer->padding, layer->axes, x_shape);
  return std::make_shared<program::Convolution>(conv, to_rows(conv->plan(dtype, call.image, call.window), y_stride));
}

NativeCallPtr native_qconv(const std::shared_ptr<QConv>& layer, Shape x_shape, const py::object& x_dtype, const std::optional<Quantize>& quantize,
                           const std::optional<NativeAddition>& add, const std::optional<py::array>& table, std::optional<Index> y_stride) {
  const auto conv = native_layer(layer);
  const DType dtype = parse_dtype(quantize ? std::get<2>(*quantize) : x_dtype, "x", codes);
  check_zero_point(conv->x_zero_point(), dtype);
  if (quantize) parse_dtype(x_dtype, "x", {DType::Float32});
  if (quantize && x_shape.size() > 2) std::rotate(x_shape.begin() + 1, x_shape.begin() + 2, x_shape.end());
  const Call call = call_shape(*conv, layer->padding, layer->axes, x_shape);
  const auto plan = [&] {
    if (!quantize) return to_rows(conv->plan(dtype, call.image, call.window), y_stride);
    const ops::Quantizer quantizer{positive_float(std::get<0>(*quantize), "scale"), zero_point(std::get<1>(*quantize), "zero_point", dtype), dtype};
    return to_rows(conv->plan(quantizer, ops::Layout::ChannelsFirst, call.image, call.window), y_stride);
  };
  if (!add && !table) return std::make_shared<program::Convolution>(conv, plan());
  return std::make_shared<program::FinishedConvolution>(conv, plan(), native_finish(add, table, conv->output()));
}

template <class Layer>
BoundClass<Layer> bind_layer(py::module_& m, const char* name, const char* doc) {
  return BoundClass<Layer>(m, name, py::is_final(), doc)
      .def(
          "__call__", [](const Layer& layer, const py::array& x, const py::object& out) { return call(layer, x, out); }, py::arg("x"), py::kw_only(),
          py::arg("out") = py::none(), "x: batch of images in the layer's layout. Returns the images of output_shape(x.shape).")
      .def(
          "output_shape", [](const Layer& layer, const Shape& shape) { return layer_output_shape(layer, shape); }, py::arg("x_shape"),
          "Shape of the result for an input of shape x_shape.")
      .def_property_readonly(
          "isa", [](const Layer& layer) { return layer.conv.isa(); }, "The tier that packed the weights.")
      .def_property_readonly(
          "nbytes", [](const Layer& layer) { return layer.conv.bytes(); }, "Size of the packed weights.")
      .def_property_readonly(
          "bits", [](const Layer& layer) { return layer.conv.bits(); }, "Of a packed weight, where the layer isn't computed by Winograd.")
      .def_property_readonly(
          "weight_shape", [](const Layer& layer) { return weight_shape(layer); }, "Of the weights as they were given.")
      .def_property_readonly(
          "groups", [](const Layer& layer) { return layer.conv.groups(); }, "Of channels, as they were given.")
      .def_property_readonly(
          "route", [](const Layer& layer) { return layer.conv.route(); }, "How it is computed: direct, 1x1, grouped, depthwise, ...")
      .def_property_readonly(
          "tile", [](const Layer& layer) { return tile_of(layer.conv); },
          "Rows, columns, and columns of a vector that its kernel computes at once; None for a depthwise convolution.");
}

}  // namespace

void add_native_conv(NativeCall& calls) {
  calls
      .def_static(
          "conv", &native_qconv, py::arg("layer"), py::arg("x_shape"), py::arg("x_dtype"), py::kw_only(), py::arg("quantize") = py::none(),
          py::arg("add") = py::none(), py::arg("table") = py::none(), py::arg("y_stride") = py::none(),
          "A call of QConv, or of its _fused(), or of Conv. quantize: x is float32, channels first. add: the dtype of the second operand, scale "
          "and zero point of the layer's codes, of the operand and of the sum, and codes to clamp the sum to. y_stride: elements from pixel to pixel "
          "of the result, which is a part of a larger array.")
      .def_static("conv", &native_float_conv, py::arg("layer"), py::arg("x_shape"), py::arg("x_dtype"), py::kw_only(),
                  py::arg("y_stride") = py::none());
}

void bind_conv(py::module_& m) {
  m.def("conv", &conv, py::arg("x"), py::arg("w"), py::kw_only(), py::arg("strides") = 1, py::arg("padding") = 0, py::arg("dilations") = 1,
        py::arg("groups") = 1, py::arg("layout") = "NCHW", py::arg("x_zero_point") = 0, py::arg("w_zero_point") = 0, py::arg("out") = py::none(),
        R"(The exact int32 convolution of 8-bit arrays, 1-d, 2-d or 3-d, as ONNX ConvInteger.

Padding contributes nothing: borders hold x_zero_point.

Args:
    x: int8 or uint8 [batch, channels, spatial...] ("NCHW") or [batch, spatial..., channels] ("NHWC").
    w: int8 or uint8 [out_channels, channels / groups, kernel...].
    strides, dilations: an int, or one int per spatial axis.
    padding: an int, one int per spatial axis, a (begin, end) pair per spatial axis, "same" or "valid".
    groups: channels are split into this many independent convolutions; = channels: depthwise.
    x_zero_point: within the range of x's dtype.
    w_zero_point: within the range of w's dtype; a scalar, or one per output channel.
    out: where the result goes; int32 of the result's shape.

Returns int32 in the layout of x. Raises ValueError for an invalid parameter or shape, TypeError for a wrong dtype.)");
  BoundClass<PackingBudget>(m, "PackingBudget", py::is_final(), "Bytes that the convolutions of a network may be packed to beyond 4 for each weight.")
      .def(py::init([](std::size_t bytes) { return std::make_shared<PackingBudget>(bytes); }), py::arg("bytes"));
  bind_layer<QConv>(m, "QConv",
                    R"(An int8 convolution, weights packed once: y = requantize(conv(x - x_zero, w - w_zero) + bias).

multiplier = (x_scale * weight_scale) / y_scale, each step rounded to float32, as ONNX QLinearConv; with y_scale=None the
result is float32(acc + bias) * (x_scale * weight_scale).

Args:
    weight: int8 or uint8 [out_channels, channels / groups, kernel...].
    weight_scale: a scalar, or one per output channel.
    bias: int32 [out_channels], in units of x_scale * weight_scale.
    x_scale, x_zero_point: of the activations.
    weight_zero_point: a scalar, or one per output channel.
    y_scale, y_zero_point, y_dtype: of the result; y_dtype int8 or uint8 (default).
    clamp: (low, high) codes of the result, e.g. of a fused activation.
    strides, padding, dilations, groups: as conv().
    layout: "NHWC" (default; fastest) or "NCHW".
    algorithm: how 3x3 windows of stride 1 are computed, to the same result. "winograd4" and "winograd2": by Winograd's F(4x4, 3x3) and F(2x2, 3x3),
        in integers; "auto": as is fastest for the image; "direct".
    budget: PackingBudget of the network, out of which "auto" packs; None: without a bound.
    levels: as for QLinear. Winograd, depthwise layers and groups of a few channels take the weights as int8 or int16.

Raises ValueError for an invalid parameter or shape, or where the algorithm doesn't apply, TypeError for a wrong dtype.)")
      .def(py::init([](const py::array& weight, const py::object& weight_scale, const py::object& bias, double x_scale, std::int64_t x_zero_point,
                       const py::object& weight_zero_point, const std::optional<double>& y_scale, std::int64_t y_zero_point,
                       const py::object& y_dtype, const Clamp& clamp, const py::object& strides, const py::object& padding,
                       const py::object& dilations, Index groups, const std::string& layout, const std::string& algorithm, const py::object& levels,
                       const std::shared_ptr<PackingBudget>& budget) {
             return std::make_shared<QConv>(make_qconv(weight, weight_scale, bias, x_scale, x_zero_point, weight_zero_point, y_scale, y_zero_point,
                                                       y_dtype, clamp, strides, padding, dilations, groups, layout, algorithm, levels, budget));
           }),
           py::arg("weight"), py::arg("weight_scale"), py::arg("bias") = py::none(), py::kw_only(), py::arg("x_scale"), py::arg("x_zero_point") = 0,
           py::arg("weight_zero_point") = 0, py::arg("y_scale") = py::none(), py::arg("y_zero_point") = 0, py::arg("y_dtype") = py::none(),
           py::arg("clamp") = py::none(), py::arg("strides") = 1, py::arg("padding") = 0, py::arg("dilations") = 1, py::arg("groups") = 1,
           py::arg("layout") = "NHWC", py::arg("algorithm") = "auto", py::arg("levels") = py::none(),
           py::arg("budget") = std::shared_ptr<PackingBudget>())
      .def_property_readonly(
          "is_safe", [](const QConv& layer) { return layer.conv.is_safe(); }, is_safe_doc)
      .def(
          "route_of", [](const QConv& layer, const Shape& shape) { return route_of(layer, shape); }, py::arg("x_shape"),
          "How an input of shape x_shape is computed: direct, winograd4, ... Packs for it, if it is the first of its kind.")
      .def(
          "_fused",
          [](const QConv& layer, const py::array& x, const std::optional<Quantize>& quantize, const std::optional<Addition>& add,
             const std::optional<py::array>& table, const py::object& out) { return call_fused(layer, x, quantize, add, table, out); },
          py::arg("x"), py::kw_only(), py::arg("quantize") = py::none(), py::arg("add") = py::none(), py::arg("table") = py::none(),
          py::arg("out") = py::none(),
          R"(The layer and its neighbours in one call, for a layer of codes in the layout NHWC.

Args:
    x: as for a call; with `quantize`, float32 [batch, channels, spatial...].
    quantize: (scale, zero_point, dtype): x is qkern.quantize(x, ...), channels last.
    add: (other, scale, zero_point, y_scale, y_zero_point, clamp): then the sum of both, as qkern.add gives it in the layer's dtype.
    table: then qkern.lookup(..., table).
    out: where the result goes.)");
  bind_layer<FloatConv>(m, "Conv",
                        R"(A float32 convolution: y = clamp(conv(x, w) + bias), the same bits on every tier.

Args:
    weight: float32 [out_channels, channels / groups, kernel...].
    bias: float32 [out_channels].
    clamp: (low, high), e.g. (0, inf) for ReLU.
    strides, padding, dilations, groups: as conv().
    layout: "NHWC" (default; fastest) or "NCHW".)")
      .def(py::init([](const py::array& weight, const py::object& bias, const std::optional<std::pair<double, double>>& clamp,
                       const py::object& strides, const py::object& padding, const py::object& dilations, Index groups, const std::string& layout) {
             return std::make_shared<FloatConv>(make_conv(weight, bias, clamp, strides, padding, dilations, groups, layout));
           }),
           py::arg("weight"), py::arg("bias") = py::none(), py::kw_only(), py::arg("clamp") = py::none(), py::arg("strides") = 1,
           py::arg("padding") = 0, py::arg("dilations") = 1, py::arg("groups") = 1, py::arg("layout") = "NHWC");
}

}  // namespace qkern::bindings
