#include <pybind11/stl.h>

#include <algorithm>

#include "bindings/native_call.h"
#include "program/calls.h"
#include "tensor/sizes.h"

namespace qkern::bindings {
namespace {

Index element_size(Index size) {
  if (size != 1 && size != 2 && size != 4 && size != 8) value_error("elements of " + std::to_string(size) + " bytes can't be moved");
  return size;
}

void check_shape(const Shape& shape) {
  for (const Index size : shape) {
    if (size < 0) value_error("shape " + to_string(shape) + " has a negative size");
  }
  tensor::checked_product("shape", {product(shape)});
}

NativeCallPtr copy(Index size, const Shape& shape, const Shape& strides, Index start) {
  check_shape(shape);
  if (shape.size() != strides.size()) value_error("strides must have one entry per axis");
  return std::make_shared<program::Moved<ops::StridedCopy>>(ops::StridedCopy(element_size(size), shape, strides, start));
}

NativeCallPtr gather(Index size, const Shape& shape, const std::vector<std::optional<Shape>>& indices) {
  check_shape(shape);
  if (shape.size() != indices.size()) value_error("indices must have one entry per axis");
  std::vector<Shape> given(indices.size());
  for (std::size_t axis = 0; axis < indices.size(); ++axis) {
    if (!indices[axis]) continue;
    given[axis] = *indices[axis];
    for (const Index index : given[axis]) {
      if (index < 0 || index >= shape[axis]) value_error("index " + std::to_string(index) + " of an axis of " + std::to_string(shape[axis]));
    }
    if (given[axis].empty()) value_error("an axis without indices");
  }
  return std::make_shared<program::Moved<ops::Gather>>(ops::Gather(element_size(size), shape, given));
}

NativeCallPtr pad(const Shape& shape, const Shape& padded, const Shape& before, const py::array& fill) {
  check_shape(shape), check_shape(padded);
  if (shape.size() != padded.size() || shape.size() != before.size()) value_error("padded and before must have one entry per axis");
  if (fill.size() != 1) value_error("fill must be one number");
  return std::make_shared<program::Moved<ops::Pad>>(ops::Pad(element_size(fill.itemsize()), shape, padded, before, fill.data()));
}

NativeCallPtr concatenate(Index rows, const Shape& parts, const Shape& starts, Index stride) {
  if (rows < 0 || std::any_of(parts.begin(), parts.end(), [](Index part) { return part < 0; })) value_error("sizes must not be negative");
  if (starts.size() != parts.size()) value_error("parts and starts must have one entry per operand");
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (starts[i] < 0 || starts[i] > stride - parts[i]) value_error("a part must lie within a row of `stride` bytes");
  }
  return std::make_shared<program::Concatenate>(ops::Concatenate(rows, parts, starts, stride));
}

}  // namespace

void add_native_move(NativeCall& calls) {
  calls
      .def_static("copy", &copy, py::arg("element_size"), py::arg("shape"), py::arg("strides"), py::arg("start"),
                  "Strided memory, contiguous: strides and start in bytes.")
      .def_static("gather", &gather, py::arg("element_size"), py::arg("shape"), py::arg("indices"),
                  "Chosen indices of some axes of an array of that shape; None: all.")
      .def_static("pad", &pad, py::arg("shape"), py::arg("padded"), py::arg("before"), py::arg("fill"),
                  "One number around an array; before: how many come before it, negative where elements are left out.")
      .def_static("concatenate", &concatenate, py::arg("rows"), py::arg("parts"), py::arg("starts"), py::arg("stride"),
                  "Rows of as many bytes of each operand, to those bytes of rows that are `stride` bytes apart.");
}

}  // namespace qkern::bindings
