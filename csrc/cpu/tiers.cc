#include "cpu/tiers.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#include "cpu/features.h"

namespace qkern::cpu {
namespace {

constexpr Tier list[] = {
#define QKERN_TIER(name, required) {#name, required},
#include "isa/tier_list.inc"
#undef QKERN_TIER
};

struct ForeignTier {
  std::string_view name, processor;
};

constexpr ForeignTier foreign[] = {
#define QKERN_TIER(name, processor) {#name, processor},
#include "isa/foreign_tiers.inc"
#undef QKERN_TIER
};

std::string available_names() {
  std::string names;
  for (const Tier& tier : list) {
    if (is_available(tier)) names += (names.empty() ? "" : ", ") + std::string(tier.name);
  }
  return names;
}

int find(std::string_view name) {
  for (int i = 0; const Tier& tier : list) {
    if (tier.name == name) {
      if (is_available(tier)) return i;
      throw std::invalid_argument("'" + std::string(name) + "' needs " + std::string(tier.required) +
                                  ", which this processor lacks; available: " + available_names());
    }
    ++i;
  }
  for (const ForeignTier& tier : foreign) {
    if (tier.name == name) {
      throw std::invalid_argument("'" + std::string(name) + "' is a tier of " + std::string(tier.processor) +
                                  " processors, not of this one; available: " + available_names());
    }
  }
  throw std::invalid_argument("'" + std::string(name) + "' is not a tier of this build; available: " + available_names());
}

int initial() {
  if (const char* name = std::getenv("QKERN_ISA"); name != nullptr && *name != '\0') {
    try {
      return find(name);
    } catch (const std::invalid_argument& error) {
      throw std::runtime_error(std::string("QKERN_ISA: ") + error.what());
    }
  }
  for (int i = 0; const Tier& tier : list) {
    if (is_available(tier)) return i;
    ++i;
  }
  throw std::logic_error("no tier is available");
}

std::atomic<int>& setting() {
  static std::atomic<int> index{initial()};
  return index;
}

}  // namespace

std::span<const Tier> tiers() { return list; }
bool is_available(const Tier& tier) { return has_all(tier.required); }
int active() { return setting().load(std::memory_order_relaxed); }
void use(std::string_view name) { setting().store(find(name), std::memory_order_relaxed); }

}  // namespace qkern::cpu
