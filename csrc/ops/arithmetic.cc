#include "ops/arithmetic.h"

#include "threading/parallel_for.h"

namespace qkern::ops {
namespace {

// NaN stays, and so does -0 at a bound of 0.
float clamped(float x, const FloatBounds& bounds) {
  const float above = x < bounds.low ? bounds.low : x;
  return above > bounds.high ? bounds.high : above;
}

template <class F>
void along(const float* a, Index a_stride, const float* b, Index b_stride, Index n, float* y, const F& f) {
  if (a_stride == 1 && b_stride == 1) {
    for (Index i = 0; i < n; ++i) y[i] = f(a[i], b[i]);
  } else if (a_stride == 1 && b_stride == 0) {
    const float value = *b;
    for (Index i = 0; i < n; ++i) y[i] = f(a[i], value);
  } else if (a_stride == 0 && b_stride == 1) {
    const float value = *a;
    for (Index i = 0; i < n; ++i) y[i] = f(value, b[i]);
  } else {
    for (Index i = 0; i < n; ++i) y[i] = f(a[i * a_stride], b[i * b_stride]);
  }
}

void along(Operation operation, const float* a, Index a_stride, const float* b, Index b_stride, Index n, float* y) {
  const auto run = [&](const auto& f) { along(a, a_stride, b, b_stride, n, y, f); };
  switch (operation) {
    case Operation::Add: return run([](float p, float q) { return p + q; });
    case Operation::Subtract: return run([](float p, float q) { return p - q; });
    case Operation::Multiply: return run([](float p, float q) { return p * q; });
    case Operation::Divide: return run([](float p, float q) { return p / q; });
    case Operation::Maximum: return run([](float p, float q) { return p != p || p >= q ? p : q; });
    default: return run([](float p, float q) { return p != p || p <= q ? p : q; });
  }
}

constexpr Index block = 4096;  // numbers: what is combined is clamped while it is in the cache

}  // namespace

void clamp(const float* x, Index n, const FloatBounds& bounds, float* y) {
  threading::parallel_for(divide_up(n, 64), 64, [&](Index begin, Index end) {
    const Index last = end * 64 < n ? end * 64 : n;
    for (Index i = begin * 64; i < last; ++i) y[i] = clamped(x[i], bounds);
  });
}

Combine::Combine(Operation operation, std::span<const Index> shape, std::span<const Index> a_strides, std::span<const Index> b_strides,
                 const FloatBounds* bounds)
    : operation_(operation), clamps_(bounds != nullptr) {
  if (bounds != nullptr) bounds_ = *bounds;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    const Index size = shape[axis], a = a_strides[axis], b = b_strides[axis];
    if (size == 1) continue;
    if (!shape_.empty() && a_strides_.back() == size * a && b_strides_.back() == size * b) {
      shape_.back() *= size;
      a_strides_.back() = a, b_strides_.back() = b;
    } else {
      shape_.push_back(size), a_strides_.push_back(a), b_strides_.push_back(b);
    }
  }
  if (shape_.empty()) shape_.push_back(1), a_strides_.push_back(1), b_strides_.push_back(1);
}

void Combine::run(const float* a, const float* b, float* y) const {
  const Index count = shape_.back(), a_stride = a_strides_.back(), b_stride = b_strides_.back();
  Index rows = 1;
  for (std::size_t axis = 0; axis + 1 < shape_.size(); ++axis) rows *= shape_[axis];
  if (count == 0) return;
  const Index pieces = divide_up(count, block);
  threading::parallel_for(rows * pieces, count < block ? count : block, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const Index row = i / pieces, first = i % pieces * block, n = count - first < block ? count - first : block;
      Index rest = row, a_offset = first * a_stride, b_offset = first * b_stride;
      for (std::size_t axis = shape_.size() - 1; axis-- > 0;) {
        a_offset += rest % shape_[axis] * a_strides_[axis];
        b_offset += rest % shape_[axis] * b_strides_[axis];
        rest /= shape_[axis];
      }
      float* to = y + row * count + first;
      along(operation_, a + a_offset, a_stride, b + b_offset, b_stride, n, to);
      if (!clamps_) continue;
      for (Index k = 0; k < n; ++k) to[k] = clamped(to[k], bounds_);
    }
  });
}

}  // namespace qkern::ops
