// Sums over the rows of a matrix, in float64 and in the order of the rows: what corrections know of a layer's input.
//
//   sums[c] = sums[c] + x[0][c] + x[1][c] + ...          squares[c] = squares[c] + float32(x[0][c]²) + ...
#pragma once

#include "tensor/types.h"

namespace qkern::ops {

// x [rows][columns] doesn't overlap sums or squares, each [columns].
void add_column_sums(const float* x, Index rows, Index columns, double* sums, double* squares);

}  // namespace qkern::ops
