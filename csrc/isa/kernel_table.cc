#include "isa/kernel_table.h"

#include "cpu/tiers.h"

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

}  // namespace qkern::isa
