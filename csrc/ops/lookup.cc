#include "ops/lookup.h"

#include "isa/kernel_table.h"
#include "threading/parallel_for.h"

namespace qkern::ops {

void lookup(const std::uint8_t* x, Index n, const std::uint8_t* table, std::uint8_t* y) {
  const auto& kernels = isa::active_kernels().elementwise;
  threading::parallel_for(divide_up(n, 64), 64, [&](Index begin, Index end) {
    const Index first = begin * 64, last = end * 64 < n ? end * 64 : n;
    kernels.lookup(x + first, last - first, table, y + first);
  });
}

}  // namespace qkern::ops
