#include "bindings/ndarray.h"

#include <cmath>

namespace qkern::bindings {
namespace {

std::string names_of(std::initializer_list<DType> dtypes) {
  std::string names;
  for (const DType dtype : dtypes) names += (names.empty() ? "" : " or ") + std::string(name_of(dtype));
  return names;
}

bool is_native(const py::dtype& dtype) { return dtype.byteorder() != '>'; }

std::optional<DType> match(const py::dtype& dtype) {
  switch (dtype.num()) {
    case py::detail::npy_api::NPY_BYTE_: return DType::Int8;
    case py::detail::npy_api::NPY_UBYTE_: return DType::Uint8;
    case py::detail::npy_api::NPY_FLOAT_: return is_native(dtype) ? std::optional(DType::Float32) : std::nullopt;
    default:
      // int32 is "int" or "long", depending on the platform.
      if (dtype.kind() == 'i' && dtype.itemsize() == 4 && is_native(dtype)) return DType::Int32;
      return std::nullopt;
  }
}

DType one_of(const py::dtype& dtype, const char* argument, std::initializer_list<DType> allowed) {
  const std::optional<DType> found = match(dtype);
  for (const DType one : allowed) {
    if (found == one) return one;
  }
  type_error(std::string(argument) + " is " + std::string(py::str(static_cast<py::handle>(dtype))) + "; expected " + names_of(allowed));
}

bool overlap(const py::array& a, const py::array& b) {
  const auto extent = [](const py::array& array) {
    const auto* low = static_cast<const unsigned char*>(array.data());
    const auto* high = low + array.itemsize();
    for (py::ssize_t i = 0; i < array.ndim(); ++i) {
      const auto span = (array.shape(i) - 1) * array.strides(i);
      (span < 0 ? low : high) += span;
    }
    return std::pair{low, high};
  };
  if (a.size() == 0 || b.size() == 0) return false;
  const auto [a_low, a_high] = extent(a);
  const auto [b_low, b_high] = extent(b);
  return a_low < b_high && b_low < a_high;
}

py::array one_or_per_channel(const py::handle& value, const char* argument, Index axis_size) {
  py::array array = py::array::ensure(value);
  if (!array) {
    PyErr_Clear();
    type_error(std::string(argument) + " must be a number or an array of numbers");
  }
  const bool fits = array.size() == 1 ? array.ndim() <= 1 : array.ndim() == 1 && array.size() == axis_size;
  if (!fits) {
    value_error(std::string(argument) + " has shape " + to_string(shape_of(array)) + "; expected a scalar" +
                (axis_size >= 0 ? " or (" + std::to_string(axis_size) + ",)" : ""));
  }
  return array;
}

}  // namespace

void value_error(const std::string& message) { throw py::value_error(message); }
void type_error(const std::string& message) { throw py::type_error(message); }

Shape shape_of(const py::array& array) { return Shape(array.shape(), array.shape() + array.ndim()); }

std::string to_string(const Shape& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

Index product(const Shape& shape, std::size_t begin, std::size_t end) {
  Index count = 1;
  for (std::size_t i = begin; i < end; ++i) count *= shape[i];
  return count;
}

DType dtype_of(const py::array& array, const char* argument, std::initializer_list<DType> allowed) {
  return one_of(array.dtype(), argument, allowed);
}

DType parse_dtype(const py::object& dtype, const char* argument, std::initializer_list<DType> allowed) {
  return one_of(py::dtype::from_args(dtype), argument, allowed);
}

py::dtype to_numpy(DType dtype) {
  switch (dtype) {
    case DType::Int8: return py::dtype::of<std::int8_t>();
    case DType::Uint8: return py::dtype::of<std::uint8_t>();
    case DType::Int32: return py::dtype::of<std::int32_t>();
    default: return py::dtype::of<float>();
  }
}

py::array contiguous(const py::array& array) {
  if ((array.flags() & py::array::c_style) != 0) return array;
  return py::array::ensure(array, py::array::c_style);
}

std::vector<float> positive_floats(const py::handle& value, const char* argument, Index axis_size) {
  const py::array array = one_or_per_channel(value, argument, axis_size);
  if (array.dtype().kind() != 'f' && array.dtype().kind() != 'i' && array.dtype().kind() != 'u') {
    type_error(std::string(argument) + " must be real numbers");
  }
  const auto floats = py::array_t<float, py::array::c_style | py::array::forcecast>::ensure(array);
  std::vector<float> result(floats.data(), floats.data() + floats.size());
  for (const float one : result) {
    if (!(one > 0) || !std::isfinite(one)) value_error(std::string(argument) + " must be finite and greater than 0");
  }
  return result;
}

float positive_float(double value, const char* argument) {
  const auto result = static_cast<float>(value);
  if (!(result > 0) || !std::isfinite(result)) value_error(std::string(argument) + " must be finite and greater than 0");
  return result;
}

std::vector<std::int32_t> integers(const py::handle& value, const char* argument, Index axis_size, std::int64_t low, std::int64_t high) {
  const py::array array = one_or_per_channel(value, argument, axis_size);
  if (array.dtype().kind() != 'i' && array.dtype().kind() != 'u') type_error(std::string(argument) + " must be integers");
  const auto wide = py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>::ensure(array);
  std::vector<std::int32_t> result;
  result.reserve(static_cast<std::size_t>(wide.size()));
  for (py::ssize_t i = 0; i < wide.size(); ++i) {
    const std::int64_t one = wide.data()[i];
    if (one < low || one > high) {
      value_error(std::string(argument) + " " + std::to_string(one) + " is out of range [" + std::to_string(low) + ", " + std::to_string(high) + "]");
    }
    result.push_back(static_cast<std::int32_t>(one));
  }
  return result;
}

std::vector<std::int32_t> zero_points(const py::handle& value, const char* argument, Index axis_size, DType dtype) {
  if (dtype == DType::Int32) return integers(value, argument, axis_size, INT32_MIN, INT32_MAX);
  return integers(value, argument, axis_size, lowest(dtype), highest(dtype));
}

std::int32_t zero_point(std::int64_t value, const char* argument, DType dtype) {
  if (value < lowest(dtype) || value > highest(dtype)) {
    value_error(std::string(argument) + " " + std::to_string(value) + " is out of the range of " + name_of(dtype));
  }
  return static_cast<std::int32_t>(value);
}

ops::Codes parse_clamp(const std::optional<std::pair<std::int64_t, std::int64_t>>& clamp, DType dtype) {
  if (!clamp) return {lowest(dtype), highest(dtype)};
  const auto [low, high] = *clamp;
  if (low > high) value_error("clamp: low is above high");
  if (low < lowest(dtype) || high > highest(dtype)) value_error(std::string("clamp is out of the range of ") + name_of(dtype));
  return {static_cast<std::int32_t>(low), static_cast<std::int32_t>(high)};
}

Index normalize_axis(Index axis, std::size_t rank, const char* argument) {
  const auto n = static_cast<Index>(rank);
  if (axis < -n || axis >= n) value_error(std::string(argument) + " " + std::to_string(axis) + " is out of range for rank " + std::to_string(n));
  return axis < 0 ? axis + n : axis;
}

ops::AxisView axis_view(const Shape& shape, std::optional<Index> axis) {
  if (!axis) return {1, 1, product(shape)};
  const auto at = static_cast<std::size_t>(*axis);
  return {product(shape, 0, at), shape[at], product(shape, at + 1, shape.size())};
}

Output::Output(const py::object& out, const Shape& shape, DType dtype, std::initializer_list<const py::array*> inputs) : out_(out) {
  if (out.is_none()) {
    target_ = py::array(to_numpy(dtype), shape);
    out_ = target_;
    return;
  }
  if (!py::isinstance<py::array>(out)) type_error("out must be an array");
  const auto given = py::reinterpret_borrow<py::array>(out);
  if (match(given.dtype()) != dtype) {
    type_error("out is " + std::string(py::str(static_cast<py::handle>(given.dtype()))) + "; expected " + name_of(dtype));
  }
  if (shape_of(given) != shape) value_error("out has shape " + to_string(shape_of(given)) + "; expected " + to_string(shape));
  if (!given.writeable()) value_error("out is read-only");
  copies_ = (given.flags() & py::array::c_style) == 0;
  for (const py::array* input : inputs) copies_ = copies_ || overlap(given, *input);
  target_ = copies_ ? py::array(to_numpy(dtype), shape) : given;
}

py::object Output::finish() {
  if (copies_) out_[py::ellipsis()] = target_;
  return out_;
}

std::vector<Index> per_axis(const py::object& value, const char* argument, std::size_t axes, Index at_least) {
  std::vector<Index> result;
  if (py::isinstance<py::int_>(value)) result.assign(axes, value.cast<Index>());
  else if (py::isinstance<py::sequence>(value) && !py::isinstance<py::str>(value)) {
    for (const py::handle one : value) {
      if (PyIndex_Check(one.ptr()) == 0) type_error(std::string(argument) + " must be an int or one int per spatial axis");
      result.push_back(py::cast<Index>(py::int_(py::reinterpret_borrow<py::object>(one))));
    }
  } else {
    type_error(std::string(argument) + " must be an int or one int per spatial axis");
  }
  if (result.size() != axes) value_error(std::string(argument) + " has " + std::to_string(result.size()) + " values for " + std::to_string(axes) + " spatial axes");
  for (const Index one : result) {
    if (one < at_least) value_error(std::string(argument) + " must be at least " + std::to_string(at_least));
  }
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
  const bool pairs = py::isinstance<py::sequence>(padding) && py::len(padding) > 0 && py::isinstance<py::sequence>(padding[py::int_(0)]);
  if (!pairs) {
    const auto each = per_axis(padding, "padding", axes, 0);
    for (std::size_t i = 0; i < axes; ++i) result.pairs[i] = {each[i], each[i]};
    return result;
  }
  if (py::len(padding) != axes) value_error("padding has " + std::to_string(py::len(padding)) + " pairs for " + std::to_string(axes) + " spatial axes");
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
  for (std::size_t i = 0; i < axes; ++i) {
    const std::size_t at = 3 - axes + i;
    if (padding.same) {
      // TensorFlow's SAME, ONNX's SAME_UPPER: ceil(size / stride) outputs, the odd element at the end.
      const Index out = divide_up(image.size[at], window.stride[at]);
      const Index reach = (out - 1) * window.stride[at] + window.dilation[at] * (window.kernel[at] - 1) + 1;
      const Index total = std::max(Index{0}, reach - image.size[at]);
      window.pad_begin[at] = total / 2;
      window.pad_end[at] = total - total / 2;
    } else {
      window.pad_begin[at] = padding.pairs[i].first;
      window.pad_end[at] = padding.pairs[i].second;
    }
  }
  return window;
}

ops::ImageShape image_shape(const Shape& shape, ops::Layout layout, const char* argument) {
  if (shape.size() < 3 || shape.size() > 5) {
    value_error(std::string(argument) + " has shape " + to_string(shape) + "; expected batch, channels and 1 to 3 spatial axes");
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
  Shape spatial;
  for (std::size_t i = 0; i < axes; ++i) {
    const std::size_t at = 3 - axes + i;
    if (size[at] < 0) {
      value_error("the window spans " + std::to_string(window.dilation[at] * (window.kernel[at] - 1) + 1) + " along spatial axis " + std::to_string(i) +
                  ", the padded input only " + std::to_string(image.size[at] + window.pad_begin[at] + window.pad_end[at]));
    }
    spatial.push_back(size[at]);
  }
  Shape shape{image.batch};
  if (layout == ops::Layout::ChannelsFirst) shape.push_back(channels);
  shape.insert(shape.end(), spatial.begin(), spatial.end());
  if (layout == ops::Layout::ChannelsLast) shape.push_back(channels);
  return shape;
}

}  // namespace qkern::bindings
