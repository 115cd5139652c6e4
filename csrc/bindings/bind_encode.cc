#include <pybind11/stl.h>

#include "bindings/levels.h"
#include "ops/encode.h"

namespace qkern::bindings {
namespace {

py::object encode(const py::array& x, const py::object& levels, const py::object& scale, std::optional<Index> axis) {
  dtype_of(x, "x", {DType::Float32});
  const std::vector<std::int8_t> table = level_table(
      levels, [](Index size) { return (size > 0 && size <= 16) || size == 256; }, "at most 16 levels, or 256");
  const py::array input = contiguous(x);
  const Shape shape = shape_of(input);
  if (axis) axis = normalize_axis(*axis, shape.size(), "axis");
  const auto scales = positive_floats(scale, "scale", axis ? shape[static_cast<std::size_t>(*axis)] : -1);
  const ops::AxisView view = axis_view(shape, scales.size() == 1 ? std::nullopt : axis);
  Output output(py::none(), shape, DType::Uint8, {&input});
  const auto* from = static_cast<const float*>(input.data());
  auto* result = static_cast<std::uint8_t*>(output.data());
  {
    const WithoutGil release;
    ops::encode(from, view, scales, table, result);
  }
  return output.finish();
}

}  // namespace

void bind_encode(py::module_& m) {
  m.def("encode", &encode, py::arg("x"), py::arg("levels"), py::arg("scale"), py::arg("axis") = py::none(),
        R"(Codes of a codebook: the index of the level nearest to x / scale (a true division in float32), the lower of two as near.

Args:
    x: float32 of any shape; infinities get the ends, NaN what 0 gets.
    levels: int8, ascending: at most 16, or 256.
    scale: finite and > 0; a scalar, or one per index of `axis`.

Returns uint8 of x's shape. Raises ValueError for an invalid parameter, TypeError for a wrong dtype.)");
}

}  // namespace qkern::bindings
