#include <pybind11/stl.h>

#include "bindings/constructed.h"
#include "bindings/finish.h"
#include "bindings/layer.h"
#include "bindings/levels.h"
#include "bindings/native_call.h"
#include "ops/linear.h"
#include "program/calls.h"

namespace qkern::bindings {
namespace {

struct QLinear : ops::QLinear, OnlyConstructed {
  explicit QLinear(ops::QLinear&& layer) : ops::QLinear(std::move(layer)) {}
};
struct Linear : ops::Linear, OnlyConstructed {
  explicit Linear(ops::Linear&& layer) : ops::Linear(std::move(layer)) {}
};

std::shared_ptr<QLinear> make_qlinear(const py::array& weight, const py::object& weight_scale, const py::object& bias, double x_scale,
                                      std::int64_t x_zero, const py::object& weight_zero_point, const std::optional<double>& y_scale,
                                      std::int64_t y_zero, const py::object& y_dtype, const Clamp& clamp, const py::object& levels) {
  const GivenWeights given = given_weights(weight, "weight", levels);
  const DType dtype = given.dtype;
  if (weight.ndim() != 2) value_error("weight has shape " + to_string(shape_of(weight)) + "; expected (out_features, in_features)");
  const py::array& w = given.values;
  const Index out = w.shape(0), in = w.shape(1);
  const auto scale = positive_floats(weight_scale, "weight_scale", out);
  const auto zero = zero_points(weight_zero_point, "weight_zero_point", out, dtype);
  std::vector<std::int32_t> biases;
  if (!bias.is_none()) biases = integers(bias, "bias", out, INT32_MIN, INT32_MAX);
  if (!bias.is_none() && static_cast<Index>(biases.size()) != out) value_error("bias must have shape (" + std::to_string(out) + ",)");
  const float x = positive_float(x_scale, "x_scale");
  const ops::LayerOutput output = layer_output(y_scale, y_zero, y_dtype, clamp);
  check_multipliers(scale, x, output);
  const std::int32_t zero_x = activation_zero_point(x_zero);
  const WithoutGil release;
  return std::make_shared<QLinear>(ops::QLinear(w.data(), dtype == DType::Int8, out, in, scale, zero, biases, x, zero_x, output, given.levels));
}

// Rows of a layer's input [..., in_features], and the shape of its output.
struct Rows {
  ops::RowsView view;
  Shape shape;
};

Shape row_shape(Shape shape, Index in, Index out) {
  if (shape.empty() || shape.back() != in) value_error("x has shape " + to_string(shape) + "; expected (..., " + std::to_string(in) + ")");
  shape.back() = out;
  return shape;
}

Rows rows_of(const py::array& x, Index in, Index out, bool is_signed) {
  const Shape shape = row_shape(shape_of(x), in, out);
  const auto* data = static_cast<const unsigned char*>(x.data());
  return {{data, data + x.nbytes(), product(shape, 0, shape.size() - 1), in, in, is_signed}, shape};
}

NativeCallPtr native_qlinear(const std::shared_ptr<QLinear>& layer, const Shape& x, const py::object& x_dtype,
                             const std::optional<NativeAddition>& add, const std::optional<py::array>& table) {
  const DType dtype = parse_dtype(x_dtype, "x", codes);
  check_zero_point(layer->x_zero_point(), dtype);
  const Shape shape = row_shape(x, layer->in_features(), layer->out_features());
  const Index rows = product(shape, 0, shape.size() - 1), depth = layer->in_features();
  const ops::RowsView view{nullptr, nullptr, rows, depth, depth, dtype == DType::Int8};
  if (!add && !table) return std::make_shared<program::FullyConnected<ops::QLinear, void>>(layer, view, rows * depth);
  return std::make_shared<program::FinishedLayer>(layer, view, rows * depth, native_finish(add, table, layer->output()));
}

NativeCallPtr native_linear(const std::shared_ptr<Linear>& layer, const Shape& x, const py::object& x_dtype) {
  parse_dtype(x_dtype, "x", {DType::Float32});
  const Shape shape = row_shape(x, layer->in_features(), layer->out_features());
  const Index rows = product(shape, 0, shape.size() - 1), depth = layer->in_features();
  const ops::RowsView view{nullptr, nullptr, rows, depth, depth, true};
  return std::make_shared<program::FullyConnected<ops::Linear, float>>(layer, view, rows * depth * size_of(DType::Float32));
}

py::object call_qlinear(const QLinear& layer, const py::array& x, const py::object& out) {
  const DType dtype = dtype_of(x, "x", codes);
  check_zero_point(layer.x_zero_point(), dtype);
  const py::array input = contiguous(x);
  const Rows rows = rows_of(input, layer.in_features(), layer.out_features(), dtype == DType::Int8);
  Output output(out, rows.shape, layer.output().dtype, {&input});
  void* result = output.data();
  {
    const WithoutGil release;
    layer.run(rows.view, result);
  }
  return output.finish();
}

py::object call_fused_qlinear(const QLinear& layer, const py::array& x, const std::optional<Addition>& add, const std::optional<py::array>& table,
                              const py::object& out) {
  const DType dtype = dtype_of(x, "x", codes);
  check_zero_point(layer.x_zero_point(), dtype);
  const py::array input = contiguous(x);
  const Rows rows = rows_of(input, layer.in_features(), layer.out_features(), dtype == DType::Int8);
  const FinishArguments arguments(add, table, layer.output(), rows.shape);
  Output output(out, rows.shape, arguments.dtype(), {&input, &arguments.other(), &arguments.table()});
  void* result = output.data();
  {
    const WithoutGil release;
    layer.run(rows.view, result, arguments.finish());
  }
  return output.finish();
}

std::shared_ptr<Linear> make_linear(const py::array& weight, const py::object& bias, const std::optional<std::pair<double, double>>& clamp) {
  dtype_of(weight, "weight", {DType::Float32});
  if (weight.ndim() != 2) value_error("weight has shape " + to_string(shape_of(weight)) + "; expected (out_features, in_features)");
  const py::array w = contiguous(weight);
  const auto [low, high] = float_clamp(clamp);
  return std::make_shared<Linear>(ops::Linear(static_cast<const float*>(w.data()), w.shape(0), w.shape(1), float_bias(bias, w.shape(0)), low, high));
}

py::object call_linear(const Linear& layer, const py::array& x, const py::object& out) {
  dtype_of(x, "x", {DType::Float32});
  const py::array input = contiguous(x);
  const Rows rows = rows_of(input, layer.in_features(), layer.out_features(), true);
  Output output(out, rows.shape, DType::Float32, {&input});
  auto* result = static_cast<float*>(output.data());
  {
    const WithoutGil release;
    layer.run(rows.view, result);
  }
  return output.finish();
}

}  // namespace

void add_native_linear(NativeCall& calls) {
  calls
      .def_static("linear", &native_qlinear, py::arg("layer"), py::arg("x_shape"), py::arg("x_dtype"), py::kw_only(), py::arg("add") = py::none(),
                  py::arg("table") = py::none(), "A call of QLinear, or of its _fused(), or of Linear; arguments as for conv.")
      .def_static("linear", &native_linear, py::arg("layer"), py::arg("x_shape"), py::arg("x_dtype"));
}

void bind_linear(py::module_& m) {
  BoundClass<QLinear>(m, "QLinear", py::is_final(),
                      R"(A fully connected int8 layer, weights packed once: y = requantize((x - x_zero) (w - w_zero)^T + bias).

multiplier = (x_scale * weight_scale) / y_scale, each step rounded to float32, as ONNX QLinearMatMul; with y_scale=None the
result is float32(acc + bias) * (x_scale * weight_scale).

Args:
    weight: int8 or uint8 [out_features, in_features].
    weight_scale: a scalar, or one per output feature.
    bias: int32 [out_features], in units of x_scale * weight_scale.
    x_scale, x_zero_point: of the activations.
    weight_zero_point: a scalar, or one per output feature.
    y_scale, y_zero_point, y_dtype: of the result; y_dtype int8 or uint8 (default).
    clamp: (low, high) codes of the result, e.g. of a fused activation.
    levels: int8 [16], ascending: weight is codes into it, uint8 of 0 ... 15, and is kept in 4 bits each. The result is that of the int8
        weights levels[weight].

Raises ValueError for an invalid parameter or shape, TypeError for a wrong dtype.)")
      .def(py::init(&make_qlinear), py::arg("weight"), py::arg("weight_scale"), py::arg("bias") = py::none(), py::kw_only(), py::arg("x_scale"),
           py::arg("x_zero_point") = 0, py::arg("weight_zero_point") = 0, py::arg("y_scale") = py::none(), py::arg("y_zero_point") = 0,
           py::arg("y_dtype") = py::none(), py::arg("clamp") = py::none(), py::arg("levels") = py::none())
      .def("__call__", &call_qlinear, py::arg("x"), py::kw_only(), py::arg("out") = py::none(),
           "x: int8 or uint8 [..., in_features]. Returns [..., out_features].")
      .def("_fused", &call_fused_qlinear, py::arg("x"), py::kw_only(), py::arg("add") = py::none(), py::arg("table") = py::none(),
           py::arg("out") = py::none(), "As QConv._fused, without quantize.")
      .def_property_readonly("isa", &QLinear::isa, "The tier that packed the weights.")
      .def_property_readonly("nbytes", &QLinear::bytes, "Size of the packed weights.")
      .def_property_readonly("bits", &QLinear::bits, "Of a packed weight: 8, or 4.")
      .def_property_readonly("is_safe", &QLinear::is_safe, is_safe_doc)
      .def_property_readonly(
          "weight_shape", [](const QLinear& layer) { return py::make_tuple(layer.out_features(), layer.in_features()); },
          "Of the weights as they were given.")
      .def_property_readonly("tile", &tile_of<QLinear>, "Rows, columns, and columns of a vector that its kernel computes at once.");
  BoundClass<Linear>(m, "Linear", py::is_final(),
                     R"(A fully connected float32 layer: y = clamp(x w^T + bias), the same bits on every tier.

Args:
    weight: float32 [out_features, in_features].
    bias: float32 [out_features].
    clamp: (low, high), e.g. (0, inf) for ReLU.)")
      .def(py::init(&make_linear), py::arg("weight"), py::arg("bias") = py::none(), py::kw_only(), py::arg("clamp") = py::none())
      .def("__call__", &call_linear, py::arg("x"), py::kw_only(), py::arg("out") = py::none(),
           "x: float32 [..., in_features]. Returns float32 [..., out_features].")
      .def_property_readonly("isa", &Linear::isa, "The tier that packed the weights.")
      .def_property_readonly("nbytes", &Linear::bytes, "Size of the packed weights.")
      .def_property_readonly("bits", &Linear::bits, "Of a packed weight.")
      .def_property_readonly(
          "weight_shape", [](const Linear& layer) { return py::make_tuple(layer.out_features(), layer.in_features()); },
          "Of the weights as they were given.")
      .def_property_readonly("tile", &tile_of<Linear>, "Rows, columns, and columns of a vector that its kernel computes at once.");
}

}  // namespace qkern::bindings
