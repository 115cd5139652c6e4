#include "isa/kernel_table.h"

#include <algorithm>

#include "cpu/tiers.h"
#include "gemm/saturation.h"

namespace qkern::isa {

#define QKERN_TIER(name, required) const KernelTable& kernel_table_##name();
#include "isa/tier_list.inc"
#undef QKERN_TIER

const KernelTable& kernel_table(int index) {
  using Getter = const KernelTable& (*)();
  static constexpr Getter getters[] = {
#define QKERN_TIER(name, required) &kernel_table_##name,
#include "isa/tier_list.inc"
#undef QKERN_TIER
  };
  return getters[index]();
}

const KernelTable& active_kernels() { return kernel_table(cpu::active()); }

const gemm::GemmKernels& int8_kernels(const KernelTable& table, std::span<const gemm::RhsSource> weights) {
  const bool differ = table.int8_safe.run != table.int8.run;
  return differ && std::all_of(weights.begin(), weights.end(), gemm::is_saturation_safe) ? table.int8_safe : table.int8;
}

}  // namespace qkern::isa
