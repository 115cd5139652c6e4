// Copies of whole elements, of 1, 2, 4 or 8 bytes, whatever they mean.
//
//   StridedCopy:  y[i0, i1, ...] = x at start + i0 * stride0 + i1 * stride1 + ...     (y contiguous)
//   Gather:       y[i0, i1, ...] = x[index0[i0], index1[i1], ...]                     (axes without indices stay)
//   Pad:          y[i0, i1, ...] = x[i0 - before0, i1 - before1, ...], `fill` outside of x
//   Concatenate:  row r of y has row r of each operand at its place
//
// Each is made for shapes; run() takes addresses. x and y don't overlap.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "tensor/types.h"

namespace qkern::ops {

class StridedCopy {
 public:
  // Strides and start, in bytes, of any sign; shape and strides have one entry per axis.
  StridedCopy(Index element_size, std::span<const Index> shape, std::span<const Index> strides, Index start);
  void run(const void* x, void* y) const;

 private:
  void run_rows(const unsigned char* x, unsigned char* y) const;
  void run_transposed(const unsigned char* x, unsigned char* y) const;

  Index element_size_, start_, size_ = 1;
  std::vector<Index> shape_, strides_;  // axes of size 1 left out, neighbours that are one joined
  int unit_axis_ = -1;                  // the axis along which x is contiguous, where that isn't y's last
};

class Gather {
 public:
  // x contiguous of `shape`; indices[axis] empty: the axis stays. Every index is within the axis.
  Gather(Index element_size, std::span<const Index> shape, std::span<const std::vector<Index>> indices);
  void run(const void* x, void* y) const;

 private:
  std::vector<std::vector<Index>> offsets_;  // bytes, of every index of the axes up to the last that has indices
  Index rows_ = 1, block_;                   // the product of all of these but the last; bytes behind it
};

class Pad {
 public:
  // before: one entry per axis; negative where elements are left out. fill: element_size bytes.
  Pad(Index element_size, std::span<const Index> shape, std::span<const Index> padded, std::span<const Index> before, const void* fill);
  void run(const void* x, void* y) const;

 private:
  Index element_size_, size_ = 1;
  std::array<unsigned char, 8> fill_{};
  std::vector<Index> shape_, x_strides_, y_strides_;  // of what is copied, in bytes
  Index x_start_ = 0, y_start_ = 0;
  bool covers_ = true;  // nothing is filled
};

class Concatenate {
 public:
  // parts: bytes of a row of each operand, and starts: where in a row of y they go, `stride` bytes apart. What nobody writes stays.
  Concatenate(Index rows, std::vector<Index> parts, std::vector<Index> starts, Index stride);
  void run(const void* const* operands, void* y) const;

 private:
  Index rows_, stride_, copied_ = 0;  // bytes of a row
  std::vector<Index> parts_, starts_;
};

}  // namespace qkern::ops
