// y[i] = table[x[i]]: any function of one code, 256 entries.
#pragma once

#include "tensor/types.h"

namespace qkern::ops {

// table is indexed by the byte of x (int8 code -1 is entry 255). y overlaps neither x nor table.
void lookup(const std::uint8_t* x, Index n, const std::uint8_t* table, std::uint8_t* y);

}  // namespace qkern::ops
