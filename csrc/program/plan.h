// Which arrays share memory.
#pragma once

#include <span>
#include <vector>

#include "tensor/types.h"

namespace qkern::program {

// An array of `size` bytes that is needed from step `first` to step `last`.
struct Life {
  Index size, first, last;
};

struct Arena {
  std::vector<Index> offsets;
  Index size;
};

// Offsets in one block of memory, multiples of `alignment`: the largest array first, each at the lowest offset that is free during its
// life (Pisarchyk and Lee 2020, "Efficient Memory Management for Deep Neural Net Inference", greedy by size).
Arena place(std::span<const Life> lives, Index alignment);

}  // namespace qkern::program
