// A program, and the arrays of its constants.
#pragma once

#include "program/program.h"

#include <vector>

#include "bindings/constructed.h"
#include "bindings/ndarray.h"

namespace qkern::bindings {

struct Program : OnlyConstructed {
  program::Program steps;
  std::vector<py::array> constants;
};

// Where a run writes its steps + 1 timestamps; nullptr without.
std::int64_t* times_of(const Program& program, const std::optional<py::array_t<std::int64_t>>& times);

}  // namespace qkern::bindings
