// The window that a tier's dot_row_pairs is given (conv/depthwise_rows.h).
#pragma once

#include "tensor/types.h"

namespace qkern::conv {

// weights [pair][column][channels][2]. Steps, in elements of a pair of rows, from column to column and from one pixel of the output
// to the next.
struct PairWindow {
  const std::int16_t* weights;
  Index pairs, columns, column_step, pixel_step;
};

}  // namespace qkern::conv
