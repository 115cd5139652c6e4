// The argument `rounding`.
#pragma once

#include "bindings/ndarray.h"
#include "ops/formulas.h"

namespace qkern::bindings {

inline const char* name_of(ops::Rounding rounding) {
  switch (rounding) {
    case ops::Rounding::HalfEven: return "half_even";
    case ops::Rounding::HalfAway: return "half_away";
    case ops::Rounding::Reciprocal: return "reciprocal";
    case ops::Rounding::Tflite: return "tflite";
    default: return "gemmlowp";
  }
}

// ValueError where it is not one of `allowed`.
inline ops::Rounding parse_rounding(const std::string& rounding, std::initializer_list<ops::Rounding> allowed) {
  std::string names;
  for (const ops::Rounding one : allowed) {
    if (rounding == name_of(one)) return one;
    names += (names.empty() ? "" : ", ") + std::string(name_of(one));
  }
  value_error("rounding '" + rounding + "' is not one of " + names);
}

}  // namespace qkern::bindings
