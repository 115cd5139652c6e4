// Sums and products of sizes that a caller chose: they are refused where they would exceed any memory, instead of wrapping.
//
// A result is at most 2^60, so that code behind a check may add borders, round up or count bytes without another.
#pragma once

#include <initializer_list>
#include <stdexcept>
#include <string>

#include "tensor/types.h"

namespace qkern::tensor {

inline constexpr Index largest_size = Index{1} << 60;

[[noreturn]] inline void too_large(const char* what) { throw std::length_error(std::string(what) + " is larger than any memory"); }

// The sum of sizes, none negative. Throws std::length_error (ValueError in Python) that names `what`.
inline Index checked_sum(const char* what, std::initializer_list<Index> sizes) {
  Index sum = 0;
  for (const Index size : sizes) {
    if (size > largest_size - sum) too_large(what);
    sum += size;
  }
  return sum;
}

// The product likewise. Sizes of 0 are left out of the check, so that no part of an accepted product wraps either.
inline Index checked_product(const char* what, std::initializer_list<Index> sizes) {
  Index product = 1;
  bool empty = false;
  for (const Index size : sizes) {
    if (size == 0) empty = true;
    else if (size > largest_size / product) too_large(what);
    else product *= size;
  }
  return empty ? 0 : product;
}

}  // namespace qkern::tensor
