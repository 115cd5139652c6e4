#include "ops/add.h"

#include <pybind11/stl.h>

#include "bindings/layer.h"
#include "bindings/native_call.h"
#include "program/calls.h"

namespace qkern::bindings {
namespace {

elementwise::AddParams add_params(double a_scale, double b_scale, double y_scale, std::int64_t a_zero, std::int64_t b_zero, std::int64_t y_zero,
                                  DType a_type, DType b_type, DType to, const Clamp& clamp) {
  const ops::Codes bounds = parse_clamp(clamp, to);
  return {positive_float(a_scale, "a_scale"),
          positive_float(b_scale, "b_scale"),
          positive_float(y_scale, "y_scale"),
          zero_point(a_zero, "a_zero_point", a_type),
          zero_point(b_zero, "b_zero_point", b_type),
          zero_point(y_zero, "y_zero_point", to),
          bounds.low,
          bounds.high};
}

NativeCallPtr native_add(const Shape& shape, const py::object& a_dtype, const py::object& b_dtype, double a_scale, double b_scale, double y_scale,
                         std::int64_t a_zero, std::int64_t b_zero, std::int64_t y_zero, const py::object& dtype, const Clamp& clamp) {
  const DType a_type = parse_dtype(a_dtype, "a", codes), b_type = parse_dtype(b_dtype, "b", codes), to = parse_dtype(dtype, "dtype", codes);
  return std::make_shared<program::AddCodes>(a_type, b_type, to, product(shape),
                                             add_params(a_scale, b_scale, y_scale, a_zero, b_zero, y_zero, a_type, b_type, to, clamp));
}

py::object add(const py::array& a, const py::array& b, double a_scale, double b_scale, double y_scale, std::int64_t a_zero, std::int64_t b_zero,
               std::int64_t y_zero, const py::object& dtype, const Clamp& clamp, const py::object& out) {
  const DType a_type = dtype_of(a, "a", codes), b_type = dtype_of(b, "b", codes);
  const DType to = dtype.is_none() ? a_type : parse_dtype(dtype, "dtype", codes);
  const py::array left = contiguous(a), right = contiguous(b);
  const Shape shape = shape_of(left);
  if (shape != shape_of(right)) value_error("a has shape " + to_string(shape) + ", b " + to_string(shape_of(right)) + "; they must be equal");
  const elementwise::AddParams params = add_params(a_scale, b_scale, y_scale, a_zero, b_zero, y_zero, a_type, b_type, to, clamp);
  Output output(out, shape, to, {&left, &right});
  const void *from_a = left.data(), *from_b = right.data();
  void* result = output.data();
  const Index n = product(shape);
  {
    const WithoutGil release;
    ops::add(from_a, a_type, from_b, b_type, n, params, to, result);
  }
  return output.finish();
}

}  // namespace

void add_native_add(NativeCall& calls) {
  calls.def_static("add", &native_add, py::arg("shape"), py::arg("a_dtype"), py::arg("b_dtype"), py::kw_only(), py::arg("a_scale"),
                   py::arg("b_scale"), py::arg("y_scale"), py::arg("a_zero_point"), py::arg("b_zero_point"), py::arg("y_zero_point"),
                   py::arg("dtype"), py::arg("clamp"), "A call of add().");
}

void bind_add(py::module_& m) {
  m.def("add", &add, py::arg("a"), py::arg("b"), py::kw_only(), py::arg("a_scale"), py::arg("b_scale"), py::arg("y_scale"),
        py::arg("a_zero_point") = 0, py::arg("b_zero_point") = 0, py::arg("y_zero_point") = 0, py::arg("dtype") = py::none(),
        py::arg("clamp") = py::none(), py::arg("out") = py::none(),
        R"(Sum of two quantized arrays with scales of their own, quantized again.

y = quantize(dequantize(a) + dequantize(b)), each step rounded to float32: exactly ONNX Add between DequantizeLinear and
QuantizeLinear.

Args:
    a, b: int8 or uint8 of the same shape.
    a_scale, b_scale, y_scale, a_zero_point, b_zero_point, y_zero_point: their parameters.
    dtype: of the result; default: a's.
    clamp: (low, high) codes of the result, e.g. of a fused activation.
    out: where the result goes; same shape, of `dtype`.

Raises ValueError for an invalid parameter or shape, TypeError for a wrong dtype.)");
}

}  // namespace qkern::bindings
