#include "ops/pool.h"

#include <pybind11/stl.h>

#include "bindings/geometry.h"
#include "bindings/layer.h"
#include "bindings/native_call.h"
#include "program/calls.h"

namespace qkern::bindings {
namespace {

constexpr std::initializer_list<DType> pooled{DType::Int8, DType::Uint8, DType::Float32};

// Geometry of one call.
struct Call {
  ops::Layout layout;
  ops::ImageShape image;
  ops::Window window;
  Shape shape;
};

Call call_of(const Shape& x, const py::object& kernel, const py::object& strides, const py::object& padding, const py::object& dilations,
             const std::string& layout) {
  Call call{parse_layout(layout), {}, {}, {}};
  call.image = image_shape(x, call.layout, "x");
  const std::size_t axes = x.size() - 2;
  const ops::Window window =
      make_window(per_axis(kernel, "kernel", axes, 1), per_axis(strides, "strides", axes, 1), per_axis(dilations, "dilations", axes, 1));
  call.window = with_padding(window, parse_padding(padding, axes), call.image, axes);
  call.shape = output_shape(call.image, call.window, call.image.channels, call.layout, axes);
  return call;
}

py::object max_pool(const py::array& x, const py::object& kernel, const py::object& strides, const py::object& padding, const py::object& dilations,
                    const std::string& layout, const py::object& out) {
  const DType dtype = dtype_of(x, "x", pooled);
  const py::array input = contiguous(x);
  const Call call = call_of(shape_of(input), kernel, strides, padding, dilations, layout);
  Output output(out, call.shape, dtype, {&input});
  const void* from = input.data();
  void* result = output.data();
  {
    const WithoutGil release;
    ops::max_pool(ops::plan_pool(dtype, call.image, call.window, call.layout), from, result);
  }
  return output.finish();
}

ops::AveragePool averaging(DType dtype, bool count_include_pad, double x_scale, std::int64_t x_zero, double y_scale, std::int64_t y_zero,
                           const py::object& y_dtype) {
  ops::AveragePool pool{count_include_pad, 1, 0, {}};
  if (dtype == DType::Float32) {
    pool.output.dtype = DType::Float32;
    return pool;
  }
  const py::object to = y_dtype.is_none() ? py::object(to_numpy(dtype)) : y_dtype;
  pool.output = layer_output(y_scale, y_zero, to, std::nullopt);
  pool.x_scale = positive_float(x_scale, "x_scale");
  pool.x_zero_point = zero_point(x_zero, "x_zero_point", dtype);
  if (!std::isfinite(pool.x_scale / pool.output.y_scale)) value_error("x_scale / y_scale is not finite");
  return pool;
}

py::object run_average(const py::array& input, DType dtype, const Call& call, bool count_include_pad, double x_scale, std::int64_t x_zero,
                       double y_scale, std::int64_t y_zero, const py::object& y_dtype, const py::object& out) {
  const ops::AveragePool pool = averaging(dtype, count_include_pad, x_scale, x_zero, y_scale, y_zero, y_dtype);
  Output output(out, call.shape, pool.output.dtype, {&input});
  const void* from = input.data();
  void* result = output.data();
  {
    const WithoutGil release;
    ops::average_pool(ops::plan_pool(dtype, call.image, call.window, call.layout), pool, from, result);
  }
  return output.finish();
}

py::object average_pool(const py::array& x, const py::object& kernel, const py::object& strides, const py::object& padding,
                        const py::object& dilations, bool count_include_pad, const std::string& layout, double x_scale, std::int64_t x_zero,
                        double y_scale, std::int64_t y_zero, const py::object& dtype, const py::object& out) {
  const DType x_type = dtype_of(x, "x", pooled);
  const py::array input = contiguous(x);
  const Call call = call_of(shape_of(input), kernel, strides, padding, dilations, layout);
  return run_average(input, x_type, call, count_include_pad, x_scale, x_zero, y_scale, y_zero, dtype, out);
}

py::object global_average_pool(const py::array& x, const std::string& layout, double x_scale, std::int64_t x_zero, double y_scale,
                               std::int64_t y_zero, const py::object& dtype, const py::object& out) {
  const DType x_type = dtype_of(x, "x", pooled);
  const py::array input = contiguous(x);
  const Shape shape = shape_of(input);
  Call call{parse_layout(layout), {}, {}, {}};
  call.image = image_shape(shape, call.layout, "x");
  if (call.image.pixels() == 0) value_error("x has shape " + to_string(shape) + ": no element to average");
  call.window.kernel = call.image.size;
  call.shape = output_shape(call.image, call.window, call.image.channels, call.layout, shape.size() - 2);
  return run_average(input, x_type, call, false, x_scale, x_zero, y_scale, y_zero, dtype, out);
}

NativeCallPtr native_max_pool(const Shape& x, const py::object& dtype, const py::object& kernel, const py::object& strides, const py::object& padding,
                              const py::object& dilations) {
  const Call call = call_of(x, kernel, strides, padding, dilations, "NHWC");
  return std::make_shared<program::MaxPool>(ops::plan_pool(parse_dtype(dtype, "x", pooled), call.image, call.window, call.layout));
}

NativeCallPtr native_average_pool(const Shape& x, const py::object& x_dtype, const py::object& kernel, const py::object& strides,
                                  const py::object& padding, const py::object& dilations, bool count_include_pad, double x_scale, std::int64_t x_zero,
                                  double y_scale, std::int64_t y_zero, const py::object& dtype) {
  const DType x_type = parse_dtype(x_dtype, "x", pooled);
  const Call call = call_of(x, kernel, strides, padding, dilations, "NHWC");
  return std::make_shared<program::AveragePool>(ops::plan_pool(x_type, call.image, call.window, call.layout),
                                                averaging(x_type, count_include_pad, x_scale, x_zero, y_scale, y_zero, dtype));
}

}  // namespace

void add_native_pool(NativeCall& calls) {
  calls
      .def_static("max_pool", &native_max_pool, py::arg("x_shape"), py::arg("x_dtype"), py::kw_only(), py::arg("kernel"), py::arg("strides") = 1,
                  py::arg("padding") = 0, py::arg("dilations") = 1, "A call of max_pool() on channels-last images.")
      .def_static("average_pool", &native_average_pool, py::arg("x_shape"), py::arg("x_dtype"), py::kw_only(), py::arg("kernel"),
                  py::arg("strides") = 1, py::arg("padding") = 0, py::arg("dilations") = 1, py::arg("count_include_pad") = false,
                  py::arg("x_scale") = 1.0, py::arg("x_zero_point") = 0, py::arg("y_scale") = 1.0, py::arg("y_zero_point") = 0,
                  py::arg("dtype") = py::none(), "A call of average_pool() on channels-last images.");
}

void bind_pool(py::module_& m) {
  m.def("max_pool", &max_pool, py::arg("x"), py::kw_only(), py::arg("kernel"), py::arg("strides") = 1, py::arg("padding") = 0,
        py::arg("dilations") = 1, py::arg("layout") = "NCHW", py::arg("out") = py::none(),
        R"(Largest element of each window; padding never wins. As ONNX MaxPool.

Args:
    x: int8, uint8 or float32 images in `layout`, 1 to 3 spatial axes.
    kernel, strides, dilations: an int, or one int per spatial axis.
    padding: as conv().
    out: where the result goes, of x's dtype.

Raises ValueError for an invalid parameter or shape, TypeError for a wrong dtype.)");
  m.def("average_pool", &average_pool, py::arg("x"), py::kw_only(), py::arg("kernel"), py::arg("strides") = 1, py::arg("padding") = 0,
        py::arg("dilations") = 1, py::arg("count_include_pad") = false, py::arg("layout") = "NCHW", py::arg("x_scale") = 1.0,
        py::arg("x_zero_point") = 0, py::arg("y_scale") = 1.0, py::arg("y_zero_point") = 0, py::arg("dtype") = py::none(),
        py::arg("out") = py::none(),
        R"(Mean of each window, as ONNX AveragePool.

Codes: y = saturate(round_half_even(sum(x - x_zero_point) * (x_scale / (y_scale * count))) + y_zero_point), the sum
exact and x_scale / y_scale finite. Float32: sum / count, and scales are ignored. count is the number of elements inside the image, or the size of the
window with count_include_pad.

Args:
    x: int8, uint8 or float32 images in `layout`, 1 to 3 spatial axes.
    kernel, strides, dilations: an int, or one int per spatial axis.
    padding: as conv().
    dtype: of the result; default: x's.
    out: where the result goes.

Raises ValueError for an invalid parameter or shape, TypeError for a wrong dtype.)");
  m.def("global_average_pool", &global_average_pool, py::arg("x"), py::kw_only(), py::arg("layout") = "NCHW", py::arg("x_scale") = 1.0,
        py::arg("x_zero_point") = 0, py::arg("y_scale") = 1.0, py::arg("y_zero_point") = 0, py::arg("dtype") = py::none(),
        py::arg("out") = py::none(), R"(Mean over all spatial axes, which keep size 1; otherwise as average_pool().)");
}

}  // namespace qkern::bindings
