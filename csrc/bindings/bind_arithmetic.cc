#include <pybind11/stl.h>

#include "bindings/native_call.h"
#include "program/calls.h"

namespace qkern::bindings {
namespace {

using Bounds = std::optional<std::pair<double, double>>;

ops::FloatBounds float_bounds(double low, double high) { return {static_cast<float>(low), static_cast<float>(high)}; }

ops::Operation parse_operation(const std::string& name) {
  using enum ops::Operation;
  if (name == "add") return Add;
  if (name == "subtract") return Subtract;
  if (name == "multiply") return Multiply;
  if (name == "divide") return Divide;
  if (name == "maximum") return Maximum;
  if (name == "minimum") return Minimum;
  value_error("operation: '" + name + "' is not one");
}

// Strides, in elements, of an array of `shape` that is broadcast to `result`.
Shape broadcast_strides(const Shape& shape, const Shape& result) {
  Shape strides(result.size());
  Index stride = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::size_t axis = shape.size() - 1 - i, at = result.size() - 1 - i;
    strides[at] = shape[axis] == 1 ? 0 : stride;
    stride *= shape[axis];
  }
  return strides;
}

Shape broadcast(const Shape& a, const Shape& b) {
  Shape result(std::max(a.size(), b.size()));
  for (std::size_t i = 0; i < result.size(); ++i) {
    const Index p = i < a.size() ? a[a.size() - 1 - i] : 1, q = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (p != q && p != 1 && q != 1) value_error("shapes " + to_string(a) + " and " + to_string(b) + " don't broadcast");
    result[result.size() - 1 - i] = p == 1 ? q : p;
  }
  return result;
}

NativeCallPtr combine(const std::string& operation, const Shape& a, const Shape& b, int constant_at, const std::optional<py::array>& constant,
                      const Bounds& bounds) {
  const Shape shape = broadcast(a, b);
  std::vector<float> values;
  if (constant_at < -1 || constant_at > 1 || constant.has_value() != (constant_at >= 0)) value_error("constant_at doesn't fit the constant");
  if (constant) {
    dtype_of(*constant, "constant", {DType::Float32});
    const auto floats = converted<float>(*constant);
    if (shape_of(floats) != (constant_at == 0 ? a : b)) value_error("constant has shape " + to_string(shape_of(floats)));
    values.assign(floats.data(), floats.data() + floats.size());
  }
  std::optional<ops::FloatBounds> limits;
  if (bounds) limits = float_bounds(bounds->first, bounds->second);
  ops::Combine how(parse_operation(operation), shape, broadcast_strides(a, shape), broadcast_strides(b, shape), limits ? &*limits : nullptr);
  return std::make_shared<program::Combine>(std::move(how), constant_at, std::move(values));
}

NativeCallPtr clamp(const Shape& shape, double low, double high) { return std::make_shared<program::Clamp>(product(shape), float_bounds(low, high)); }

}  // namespace

void add_native_arithmetic(NativeCall& calls) {
  calls
      .def_static("combine", &combine, py::arg("operation"), py::arg("a"), py::arg("b"), py::arg("constant_at"), py::arg("constant"),
                  py::arg("bounds"),
                  "float32 operands of shapes a and b, one of which may be a constant: add, subtract, multiply, divide, maximum or minimum, "
                  "then a clamp to bounds.")
      .def_static("clamp", &clamp, py::arg("shape"), py::arg("low"), py::arg("high"), "min(max(x, low), high) of float32.");
}

}  // namespace qkern::bindings
