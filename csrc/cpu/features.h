// What the processor and the operating system let us execute. Baseline code: runs anywhere.
#pragma once

#include <span>
#include <string_view>

namespace qkern::cpu {

struct Feature {
  std::string_view name;
  bool present;
};

// Every feature a tier of this processor family may ask for, detected once.
std::span<const Feature> features();

// True where all space-separated names in `required` are present. An unknown name is a programming error: throws.
bool has_all(std::string_view required);

}  // namespace qkern::cpu
