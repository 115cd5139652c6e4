#include "ops/move.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "tensor/transpose.h"
#include "threading/parallel_for.h"

namespace qkern::ops {
namespace {

// Index `row` of the axes `shape`, the last one fastest, as a sum of index * stride.
Index offset_of(Index row, std::span<const Index> shape, std::span<const Index> strides) {
  Index offset = 0;
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    offset += row % shape[axis] * strides[axis];
    row /= shape[axis];
  }
  return offset;
}

Index product_of(std::span<const Index> shape) {
  Index product = 1;
  for (const Index size : shape) product *= size;
  return product;
}

template <class T>
void copy_strided(const unsigned char* x, Index stride, Index count, unsigned char* y) {
  for (Index i = 0; i < count; ++i) std::memcpy(y + i * static_cast<Index>(sizeof(T)), x + i * stride, sizeof(T));
}

void copy_elements(Index element_size, const unsigned char* x, Index stride, Index count, unsigned char* y) {
  if (stride == element_size) std::memcpy(y, x, static_cast<std::size_t>(count * element_size));
  else if (element_size == 1) copy_strided<std::uint8_t>(x, stride, count, y);
  else if (element_size == 2) copy_strided<std::uint16_t>(x, stride, count, y);
  else if (element_size == 4) copy_strided<std::uint32_t>(x, stride, count, y);
  else copy_strided<std::uint64_t>(x, stride, count, y);
}

constexpr Index transposed_rows = 64;  // of the unit axis in one piece of work: whole cache lines of x

}  // namespace

StridedCopy::StridedCopy(Index element_size, std::span<const Index> shape, std::span<const Index> strides, Index start)
    : element_size_(element_size), start_(start), size_(product_of(shape)) {
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    if (shape[axis] == 1) continue;
    if (!shape_.empty() && strides_.back() == shape[axis] * strides[axis]) {
      shape_.back() *= shape[axis];
      strides_.back() = strides[axis];
    } else {
      shape_.push_back(shape[axis]);
      strides_.push_back(strides[axis]);
    }
  }
  if (shape_.empty()) shape_.push_back(1), strides_.push_back(element_size);
  if (strides_.back() == element_size || (element_size != 1 && element_size != 4)) return;
  for (std::size_t axis = 0; axis + 1 < shape_.size(); ++axis) {
    if (strides_[axis] == element_size) unit_axis_ = static_cast<int>(axis);
  }
}

void StridedCopy::run(const void* x, void* y) const {
  if (size_ == 0) return;
  const unsigned char* from = static_cast<const unsigned char*>(x) + start_;
  if (unit_axis_ >= 0 && strides_.back() > 0 && strides_.back() % element_size_ == 0) run_transposed(from, static_cast<unsigned char*>(y));
  else run_rows(from, static_cast<unsigned char*>(y));
}

void StridedCopy::run_rows(const unsigned char* x, unsigned char* y) const {
  const std::span<const Index> outer(shape_.data(), shape_.size() - 1), outer_strides(strides_.data(), strides_.size() - 1);
  const Index count = shape_.back(), stride = strides_.back();
  threading::parallel_for(product_of(outer), divide_up(count * element_size_, 4), [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      copy_elements(element_size_, x + offset_of(row, outer, outer_strides), stride, count, y + row * count * element_size_);
    }
  });
}

// Rows along the last axis of y, columns along the axis of which x is contiguous.
void StridedCopy::run_transposed(const unsigned char* x, unsigned char* y) const {
  const auto unit = static_cast<std::size_t>(unit_axis_);
  const Index rows = shape_.back(), cols = shape_[unit], row_stride = strides_.back() / element_size_;
  const Index col_stride = product_of({shape_.data() + unit + 1, shape_.size() - unit - 1});  // elements of y
  const Index blocks = divide_up(cols, transposed_rows), before = product_of({shape_.data(), unit}), between = col_stride / rows;
  const std::span<const Index> outer(shape_.data(), unit), outer_strides(strides_.data(), unit);
  const std::span<const Index> middle(shape_.data() + unit + 1, shape_.size() - unit - 2), middle_strides(strides_.data() + unit + 1, middle.size());
  threading::parallel_for(before * between * blocks, transposed_rows * rows, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const Index block = i % blocks * transposed_rows, m = i / blocks % between, o = i / blocks / between;
      const Index count = std::min(transposed_rows, cols - block);
      const unsigned char* from = x + offset_of(o, outer, outer_strides) + offset_of(m, middle, middle_strides) + block * element_size_;
      unsigned char* to = y + ((o * cols + block) * col_stride + m * rows) * element_size_;
      if (element_size_ == 1) {
        tensor::transpose(reinterpret_cast<const std::uint8_t*>(from), row_stride, rows, count, reinterpret_cast<std::uint8_t*>(to), col_stride);
      } else {
        tensor::transpose(reinterpret_cast<const std::uint32_t*>(from), row_stride, rows, count, reinterpret_cast<std::uint32_t*>(to), col_stride);
      }
    }
  });
}

Gather::Gather(Index element_size, std::span<const Index> shape, std::span<const std::vector<Index>> indices) : block_(element_size) {
  std::size_t axes = shape.size();
  while (axes > 0 && indices[axes - 1].empty()) block_ *= shape[--axes];
  Index stride = block_;
  offsets_.resize(axes);
  for (std::size_t axis = axes; axis-- > 0;) {
    auto& offsets = offsets_[axis];
    if (indices[axis].empty()) {
      offsets.resize(static_cast<std::size_t>(shape[axis]));
      for (std::size_t i = 0; i < offsets.size(); ++i) offsets[i] = static_cast<Index>(i) * stride;
    } else {
      for (const Index index : indices[axis]) offsets.push_back(index * stride);
    }
    stride *= shape[axis];
    if (axis + 1 < axes) rows_ *= static_cast<Index>(offsets.size());
  }
}

void Gather::run(const void* x, void* y) const {
  const auto* from = static_cast<const unsigned char*>(x);
  auto* to = static_cast<unsigned char*>(y);
  if (offsets_.empty()) {
    std::memcpy(to, from, static_cast<std::size_t>(block_));
    return;
  }
  const std::vector<Index>& last = offsets_.back();
  const Index row_bytes = static_cast<Index>(last.size()) * block_;
  if (row_bytes == 0) return;
  threading::parallel_for(rows_, divide_up(row_bytes, 4), [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const unsigned char* source = from;
      Index rest = row;
      for (std::size_t axis = offsets_.size() - 1; axis-- > 0;) {
        const auto size = static_cast<Index>(offsets_[axis].size());
        source += offsets_[axis][static_cast<std::size_t>(rest % size)];
        rest /= size;
      }
      unsigned char* result = to + row * row_bytes;
      for (const Index offset : last) {
        std::memcpy(result, source + offset, static_cast<std::size_t>(block_));
        result += block_;
      }
    }
  });
}

Pad::Pad(Index element_size, std::span<const Index> shape, std::span<const Index> padded, std::span<const Index> before, const void* fill)
    : element_size_(element_size), size_(product_of(padded)) {
  std::memcpy(fill_.data(), fill, static_cast<std::size_t>(element_size));
  Index x_stride = element_size, y_stride = element_size;
  shape_.resize(shape.size()), x_strides_.resize(shape.size()), y_strides_.resize(shape.size());
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    const Index left_out = std::max(-before[axis], Index{0}), added = std::max(before[axis], Index{0});
    shape_[axis] = std::max(Index{0}, std::min(shape[axis] - left_out, padded[axis] - added));
    covers_ = covers_ && shape_[axis] == padded[axis];
    x_start_ += left_out * x_stride, y_start_ += added * y_stride;
    x_strides_[axis] = x_stride, y_strides_[axis] = y_stride;
    x_stride *= shape[axis], y_stride *= padded[axis];
  }
}

void Pad::run(const void* x, void* y) const {
  auto* to = static_cast<unsigned char*>(y);
  if (!covers_) {
    threading::parallel_for(divide_up(size_, 64), divide_up(64 * element_size_, 4), [&](Index begin, Index end) {
      unsigned char* place = to + begin * 64 * element_size_;
      const Index count = std::min(end * 64, size_) - begin * 64;
      if (element_size_ == 1) std::memset(place, fill_[0], static_cast<std::size_t>(count));
      else copy_elements(element_size_, fill_.data(), 0, count, place);
    });
  }
  const Index count = shape_.empty() ? 1 : shape_.back(), axes = static_cast<Index>(shape_.size());
  if (product_of(shape_) == 0) return;
  const auto outer = static_cast<std::size_t>(std::max(axes - 1, Index{0}));
  const unsigned char* from = static_cast<const unsigned char*>(x) + x_start_;
  threading::parallel_for(product_of({shape_.data(), outer}), divide_up(count * element_size_, 4), [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      std::memcpy(to + y_start_ + offset_of(row, {shape_.data(), outer}, {y_strides_.data(), outer}),
                  from + offset_of(row, {shape_.data(), outer}, {x_strides_.data(), outer}), static_cast<std::size_t>(count * element_size_));
    }
  });
}

Concatenate::Concatenate(Index rows, std::vector<Index> parts, std::vector<Index> starts, Index stride)
    : rows_(rows), stride_(stride), parts_(std::move(parts)), starts_(std::move(starts)) {
  for (const Index part : parts_) copied_ += part;
}

void Concatenate::run(const void* const* operands, void* y) const {
  if (copied_ == 0) return;  // all of it has been written in place
  threading::parallel_for(rows_, divide_up(copied_, 4), [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      unsigned char* const to = static_cast<unsigned char*>(y) + row * stride_;
      for (std::size_t i = 0; i < parts_.size(); ++i) {
        std::memcpy(to + starts_[i], static_cast<const unsigned char*>(operands[i]) + row * parts_[i], static_cast<std::size_t>(parts_[i]));
      }
    }
  });
}

}  // namespace qkern::ops
