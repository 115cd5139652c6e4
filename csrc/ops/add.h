// y = quantize(dequantize(a) + dequantize(b)): two scales, one sum, each step rounded to float32 as ONNX Q/DQ around Add.
#pragma once

#include "elementwise/kernels.h"

namespace qkern::ops {

// n contiguous codes each; y overlaps neither a nor b.
void add(const void* a, DType a_dtype, const void* b, DType b_dtype, Index n, const elementwise::AddParams& params, DType dtype, void* y);

}  // namespace qkern::ops
