// The tiers this build contains, best first, and which one new work uses.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace qkern::cpu {

struct Tier {
  std::string_view name;
  std::string_view required;  // CPU features, space separated
};

std::span<const Tier> tiers();

// True where this processor can run the tier.
bool is_available(const Tier& tier);

// Index of the active tier: what the environment variable QKERN_ISA names, else the best available one.
// Throws std::runtime_error where QKERN_ISA names a tier that is unknown or not available.
int active();

// Makes `name` the active tier of the process. Throws std::invalid_argument, naming what is available.
void use(std::string_view name);

}  // namespace qkern::cpu
