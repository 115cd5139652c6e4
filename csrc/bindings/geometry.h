// Windows and images from Python arguments: what convolutions, pools and changes of layout have in common.
#pragma once

#include "bindings/ndarray.h"
#include "ops/conv_image.h"

namespace qkern::bindings {

struct Padding {
  bool same = false;
  std::vector<std::pair<Index, Index>> pairs;
};
std::vector<Index> per_axis(const py::object& value, const char* argument, std::size_t axes, Index at_least);
Padding parse_padding(const py::object& padding, std::size_t axes);
ops::Layout parse_layout(const std::string& layout);
ops::Window make_window(const Shape& kernel, const std::vector<Index>& strides, const std::vector<Index>& dilations);
// The window with the padding this image needs. ValueError where the padded image would exceed any memory: behind this check,
// products of sizes, strides and offsets don't wrap.
ops::Window with_padding(ops::Window window, const Padding& padding, const ops::ImageShape& image, std::size_t axes);
// Axes of an array as an image, and back.
ops::ImageShape image_shape(const Shape& shape, ops::Layout layout, const char* argument);
Shape array_shape(const ops::ImageShape& image, ops::Layout layout, std::size_t axes);
// Shape of the result; ValueError where the window does not fit into the padded image.
Shape output_shape(const ops::ImageShape& image, const ops::Window& window, Index channels, ops::Layout layout, std::size_t axes);

}  // namespace qkern::bindings
