#include "bindings/geometry.h"

#include "tensor/sizes.h"

namespace qkern::bindings {
namespace {

// A tuple, a list, an array with an axis; no text.
bool is_sequence(const py::handle& value) {
  if (py::isinstance<py::array>(value)) return py::reinterpret_borrow<py::array>(value).ndim() > 0;
  return py::isinstance<py::sequence>(value) && !py::isinstance<py::str>(value) && !py::isinstance<py::bytes>(value);
}

}  // namespace

std::vector<Index> per_axis(const py::object& value, const char* argument, std::size_t axes, Index at_least) {
  if (!is_sequence(value)) return std::vector<Index>(axes, integer(value, argument, at_least));
  std::vector<Index> result;
  for (const py::handle one : value) result.push_back(integer(one, argument, at_least));
  if (result.size() != axes)
    value_error(std::string(argument) + " has " + std::to_string(result.size()) + " values; expected " + std::to_string(axes));
  return result;
}

Padding parse_padding(const py::object& padding, std::size_t axes) {
  Padding result;
  result.pairs.assign(axes, {0, 0});
  if (py::isinstance<py::str>(padding)) {
    const auto text = padding.cast<std::string>();
    if (text != "same" && text != "valid") value_error("padding '" + text + "' is not 'same' or 'valid'");
    result.same = text == "same";
    return result;
  }
  const bool pairs = is_sequence(padding) && py::len(padding) > 0 && is_sequence(padding[py::int_(0)]);
  if (!pairs) {
    const auto each = per_axis(padding, "padding", axes, 0);
    for (std::size_t i = 0; i < axes; ++i) result.pairs[i] = {each[i], each[i]};
    return result;
  }
  if (py::len(padding) != axes)
    value_error("padding has " + std::to_string(py::len(padding)) + " pairs for " + std::to_string(axes) + " spatial axes");
  for (std::size_t i = 0; i < axes; ++i) {
    const auto pair = per_axis(padding[py::int_(i)], "padding", 2, 0);
    result.pairs[i] = {pair[0], pair[1]};
  }
  return result;
}

ops::Layout parse_layout(const std::string& layout) {
  if (layout == "NCHW") return ops::Layout::ChannelsFirst;
  if (layout == "NHWC") return ops::Layout::ChannelsLast;
  value_error("layout '" + layout + "' is not 'NCHW' or 'NHWC'");
}

ops::Window make_window(const Shape& kernel, const std::vector<Index>& strides, const std::vector<Index>& dilations) {
  ops::Window window;
  for (std::size_t i = 0; i < kernel.size(); ++i) {
    const std::size_t at = 3 - kernel.size() + i;
    window.kernel[at] = kernel[i];
    window.stride[at] = strides[i];
    window.dilation[at] = dilations[i];
  }
  return window;
}

ops::Window with_padding(ops::Window window, const Padding& padding, const ops::ImageShape& image, std::size_t axes) {
  ops::Sizes padded = image.size;
  for (std::size_t i = 0; i < axes; ++i) {
    const std::size_t at = 3 - axes + i;
    const Index size = image.size[at];
    const Index span = tensor::checked_sum("the window", {tensor::checked_product("the window", {window.dilation[at], window.kernel[at] - 1}), 1});
    if (padding.same) {
      // TensorFlow's SAME, ONNX's SAME_UPPER: ceil(size / stride) outputs, the odd element at the end.
      const Index last = size > 0 ? (size - 1) / window.stride[at] * window.stride[at] : 0;
      const Index total = size > 0 ? std::max(Index{0}, last + span - size) : 0;
      window.pad_begin[at] = total / 2;
      window.pad_end[at] = total - total / 2;
    } else {
      window.pad_begin[at] = padding.pairs[i].first;
      window.pad_end[at] = padding.pairs[i].second;
    }
    padded[at] = tensor::checked_sum("the padded input", {size, window.pad_begin[at], window.pad_end[at]});
    // A longer step leads out of the image as well; a stride times a size then stays within the image.
    window.stride[at] = std::min(window.stride[at], std::max(padded[at], Index{1}));
  }
  tensor::checked_product("the padded input", {image.batch, padded[0], padded[1], padded[2], image.channels, 4});
  return window;
}

ops::ImageShape image_shape(const Shape& shape, ops::Layout layout, const char* argument) {
  if (shape.size() < 3 || shape.size() > 5) {
    value_error(std::string(argument) + " has shape " + to_string(shape) + "; expected batch, channels and 1 to 3 spatial axes");
  }
  for (const Index size : shape) {
    if (size < 0) value_error(std::string(argument) + " has shape " + to_string(shape) + "; sizes are at least 0");
  }
  const std::size_t axes = shape.size() - 2;
  ops::ImageShape image;
  image.batch = shape[0];
  image.channels = layout == ops::Layout::ChannelsFirst ? shape[1] : shape.back();
  for (std::size_t i = 0; i < axes; ++i) image.size[3 - axes + i] = shape[(layout == ops::Layout::ChannelsFirst ? 2 : 1) + i];
  return image;
}

Shape output_shape(const ops::ImageShape& image, const ops::Window& window, Index channels, ops::Layout layout, std::size_t axes) {
  const ops::Sizes size = ops::output_size(image, window);
  for (std::size_t i = 0; i < axes; ++i) {
    const std::size_t at = 3 - axes + i;
    if (size[at] < 0) {
      value_error("the window spans " + std::to_string(window.dilation[at] * (window.kernel[at] - 1) + 1) + " along spatial axis " +
                  std::to_string(i) + ", the padded input only " + std::to_string(image.size[at] + window.pad_begin[at] + window.pad_end[at]));
    }
  }
  return array_shape({image.batch, channels, size}, layout, axes);
}

Shape array_shape(const ops::ImageShape& image, ops::Layout layout, std::size_t axes) {
  Shape shape{image.batch};
  if (layout == ops::Layout::ChannelsFirst) shape.push_back(image.channels);
  shape.insert(shape.end(), image.size.end() - static_cast<std::ptrdiff_t>(axes), image.size.end());
  if (layout == ops::Layout::ChannelsLast) shape.push_back(image.channels);
  return shape;
}

}  // namespace qkern::bindings
