#include "ops/add.h"

#include "isa/kernel_table.h"
#include "threading/parallel_for.h"

namespace qkern::ops {

void add(const void* a, DType a_dtype, const void* b, DType b_dtype, Index n, const elementwise::AddParams& params, DType dtype, void* y) {
  const auto& kernels = isa::active_kernels().elementwise;
  const auto* left = static_cast<const unsigned char*>(a);
  const auto* right = static_cast<const unsigned char*>(b);
  auto* out = static_cast<unsigned char*>(y);
  threading::parallel_for(divide_up(n, 64), 64, [&](Index begin, Index end) {
    const Index first = begin * 64, last = end * 64 < n ? end * 64 : n;
    kernels.add(left + first, a_dtype, right + first, b_dtype, last - first, params, dtype, out + first);
  });
}

}  // namespace qkern::ops
