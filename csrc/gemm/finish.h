// What is done in place to the codes of a result, a block of rows at a time, as soon as all their columns are there and while a cache
// holds them:
//
//   add:    y = quantize(dequantize(y) + dequantize(other))
//   table:  y = table[y]                                         after the sum, where there are both
//
// The same bytes as the elementwise operators give behind the whole result.
#pragma once

#include "elementwise/kernels.h"
#include "gemm/gemm.h"

namespace qkern::gemm {

struct Finish {
  const elementwise::AddParams* add = nullptr;
  const void* other = nullptr;  // of y's shape and layout; codes of its own dtype. Overlaps y nowhere.
  DType other_dtype = DType::Uint8;
  const std::uint8_t* table = nullptr;  // 256 codes
};

// A Finish of one result: `y`, int8 or uint8.
class CodeFinisher {
 public:
  // Rows of `cols` codes, `stride` apart in y, and next to each other in what is added.
  CodeFinisher(const elementwise::Kernels& kernels, const Finish& finish, const void* y, DType dtype, Index cols, Index stride)
      : kernels_(kernels), finish_(finish), y_(static_cast<const unsigned char*>(y)), dtype_(dtype), cols_(cols), stride_(stride) {}

  // Bytes of a result that are written before they are finished: some of L2.
  static constexpr Index block_bytes = Index{64} << 10;

  // Part of the result: `rows` rows, `stride` codes apart, of `cols` codes each.
  void operator()(void* out, Index stride, Index rows, Index cols) const {
    if (cols == stride) return run(out, rows * cols);
    for (Index r = 0; r < rows; ++r) run(static_cast<unsigned char*>(out) + r * stride, cols);
  }

 private:
  void run(void* out, Index n) const {
    auto* const codes = static_cast<std::uint8_t*>(out);
    if (finish_.add != nullptr) {
      Index at = codes - y_;
      if (stride_ != cols_) at = at / stride_ * cols_ + at % stride_;
      const auto* const other = static_cast<const unsigned char*>(finish_.other) + at;
      kernels_.add_to(other, finish_.other_dtype, n, *finish_.add, dtype_, codes);
    }
    if (finish_.table != nullptr) kernels_.lookup(codes, n, finish_.table, codes);
  }

  const elementwise::Kernels& kernels_;
  Finish finish_;
  const unsigned char* y_;
  DType dtype_;
  Index cols_, stride_;
};

}  // namespace qkern::gemm
