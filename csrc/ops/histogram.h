// What calibration sees of a tensor: the extremes, and counts in bins one power of two wide.
#pragma once

#include "elementwise/kernels.h"

namespace qkern::ops {

// +inf and -inf of nothing, NaN twice where a number is NaN.
elementwise::Range extremes(const float* x, Index n);

struct Counted {
  elementwise::Range range{};
  Index zeros = 0;
  bool outside = false;  // a number is in none of the bins, or is NaN
};

// Adds to counts[histogram_bins] the number of x in each bin: bin k >= 0 holds [k, k + 1) / factor, bin -1 - k its mirror image, and
// counts[0] belongs to bin `first`, of magnitude < 2^22. `factor` is a power of two, so that the product is exact. Where a number is
// outside, counts stays as it is.
Counted add_to_histogram(const float* x, Index n, float factor, std::int32_t first, std::int64_t* counts);

}  // namespace qkern::ops
