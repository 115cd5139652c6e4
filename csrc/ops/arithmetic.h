// float32 arithmetic, number by number: each operation rounded once, as NumPy's.
//
//   clamp:    y = min(max(x, low), high), NaN stays
//   Combine:  y = clamp(a op b), broadcast: along an axis of stride 0 an operand stays
#pragma once

#include <span>
#include <vector>

#include "tensor/types.h"

namespace qkern::ops {

struct FloatBounds {
  float low, high;
};

void clamp(const float* x, Index n, const FloatBounds& bounds, float* y);

enum class Operation { Add, Subtract, Multiply, Divide, Maximum, Minimum };

class Combine {
 public:
  // Strides in elements, one per axis of the result, which is contiguous. bounds: nullptr for none.
  Combine(Operation operation, std::span<const Index> shape, std::span<const Index> a_strides, std::span<const Index> b_strides,
          const FloatBounds* bounds);
  void run(const float* a, const float* b, float* y) const;

 private:
  Operation operation_;
  std::vector<Index> shape_, a_strides_, b_strides_;  // axes of size 1 left out, neighbours that are one joined
  bool clamps_;
  FloatBounds bounds_{};
};

}  // namespace qkern::ops
