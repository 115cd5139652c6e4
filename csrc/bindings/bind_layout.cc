#include "bindings/geometry.h"

namespace qkern::bindings {
namespace {

py::object convert(const py::array& x, const py::object& out, bool to_last) {
  const DType dtype = dtype_of(x, "x", {DType::Int8, DType::Uint8, DType::Int32, DType::Float32});
  const py::array input = contiguous(x);
  const ops::Layout from = to_last ? ops::Layout::ChannelsFirst : ops::Layout::ChannelsLast;
  const ops::ImageShape image = image_shape(shape_of(input), from, "x");
  const Shape shape = array_shape(image, to_last ? ops::Layout::ChannelsLast : ops::Layout::ChannelsFirst, shape_of(input).size() - 2);
  Output output(out, shape, dtype, {&input});
  const void* data = input.data();
  void* result = output.data();
  {
    const WithoutGil release;
    (to_last ? ops::to_channels_last : ops::to_channels_first)(data, image.batch, image.channels, image.pixels(), size_of(dtype), result);
  }
  return output.finish();
}

}  // namespace

void bind_layout(py::module_& m) {
  m.def(
      "to_nhwc", [](const py::array& x, const py::object& out) { return convert(x, out, true); }, py::arg("x"), py::kw_only(),
      py::arg("out") = py::none(),
      "[batch, channels, spatial...] -> [batch, spatial..., channels]; int8, uint8, int32 or float32, 1 to 3 spatial axes.");
  m.def(
      "to_nchw", [](const py::array& x, const py::object& out) { return convert(x, out, false); }, py::arg("x"), py::kw_only(),
      py::arg("out") = py::none(),
      "[batch, spatial..., channels] -> [batch, channels, spatial...]; int8, uint8, int32 or float32, 1 to 3 spatial axes.");
}

}  // namespace qkern::bindings
