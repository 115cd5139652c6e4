// A right operand packed once: panels, column sums, and the tier that packed it (its bytes mean nothing to another).
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "gemm/gemm.h"

namespace qkern::gemm {

class PackedWeights {
 public:
  // `kernels` must outlive this. `levels`: none, or 16 of int8, ascending, of which all of an int8 `source` are: it is then stored in 4 bits
  // each. Throws std::bad_alloc, or std::length_error for sizes beyond any memory.
  PackedWeights(const GemmKernels& kernels, const RhsSource& source, std::span<const std::int8_t> levels = {});

  const GemmKernels& kernels() const { return *kernels_; }
  Rhs rhs() const;
  Index cols() const { return cols_; }
  Index padded_cols() const { return round_up(cols_, kernels_->lanes); }
  Index panels() const { return divide_up(cols_, kernels_->cols); }
  Index taps() const { return taps_; }
  Index tap_depth() const { return tap_depth_; }
  Index depth() const { return taps_ * tap_depth_; }
  std::size_t bytes() const { return bytes_; }
  int bits() const { return levels_.empty() ? 8 * static_cast<int>(kernels_->rhs_element_size) : 4; }
  // int8 only: sums over depth of each column as packed, and what packing subtracted from every element (0 or 128).
  const std::vector<std::int32_t>& column_sums() const { return column_sums_; }
  std::int32_t shift() const { return shift_; }

 private:
  struct Memory {
    explicit Memory(std::size_t bytes);
    std::unique_ptr<std::byte[]> owner;
    std::byte* panels;  // the first 64-byte boundary of it
  };

  const GemmKernels* kernels_;
  Index cols_, taps_, tap_depth_, depth_groups_;
  std::int32_t shift_;
  std::size_t bytes_;
  Memory memory_;
  std::vector<std::int32_t> column_sums_;
  std::vector<std::int8_t> levels_;
  bool narrow_;
  Index padding_ = 0;  // Rhs::padding
};

}  // namespace qkern::gemm
