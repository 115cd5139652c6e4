// Weights given as codes of 4 bits: w = levels[code], a table of 16 int8 levels.
#pragma once

#include "bindings/ndarray.h"

namespace qkern::bindings {

// What a layer is made of: int8 or uint8 as they are, or the int8 levels of codes, with their table.
struct GivenWeights {
  py::array values;  // contiguous
  DType dtype;
  std::vector<std::int8_t> levels;  // none, or 16
};

// The table in `levels`: int8, ascending, of as many as `fits` says; `expected`: its shape, for the error.
std::vector<std::int8_t> level_table(const py::object& levels, bool (*fits)(Index), const char* expected);

// `levels` None: `weight` is int8 or uint8. Else it is uint8, each 0 ... 15. ValueError and TypeError name `argument` or levels.
GivenWeights given_weights(const py::array& weight, const char* argument, const py::object& levels);

}  // namespace qkern::bindings
