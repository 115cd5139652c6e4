// Addresses of consecutive rows of a left operand (gemm.h, Lhs): one division at the start instead of one per row.
#pragma once

#include "gemm/gemm.h"

namespace qkern::gemm {
namespace {  // internal linkage: each tier compiles its own copy

class RowWalk {
 public:
  RowWalk(const Lhs& lhs, Index row, std::size_t element_size)
      : inner_rows_(lhs.inner_rows),
        inner_step_(lhs.inner_stride * static_cast<Index>(element_size)),
        outer_step_(lhs.outer_stride * static_cast<Index>(element_size)),
        inner_(row % lhs.inner_rows),
        outer_(static_cast<const unsigned char*>(lhs.data) + row / lhs.inner_rows * outer_step_),
        at_(outer_ + inner_ * inner_step_) {}

  // The address of the row, then on to the next one.
  const unsigned char* next() {
    const unsigned char* row = at_;
    at_ += inner_step_;
    if (++inner_ == inner_rows_) {
      inner_ = 0;
      outer_ += outer_step_;
      at_ = outer_;
    }
    return row;
  }

 private:
  Index inner_rows_, inner_step_, outer_step_, inner_;
  const unsigned char *outer_, *at_;
};

}  // namespace
}  // namespace qkern::gemm
