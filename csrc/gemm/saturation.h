// Weights with which vpmaddubsw, the int8 instruction of AVX2, is exact. It adds the products of two bytes of lhs (0 to 255) and two
// of rhs in int16, which holds 255 * 128 = 32640 and -32640:
//
//   max(a, 0) + max(b, 0) <= 128 and max(-a, 0) + max(-b, 0) <= 128        <=>        |a + b| <= 128
//
// for each pair of rhs that is multiplied together: depths 2 i and 2 i + 1 of a tap. A last one alone is at most 128.
#pragma once

#include "gemm/gemm.h"

namespace qkern::gemm {

// Whether that holds for all of `source`, int8 or uint8 (as moved to int8 by -128). Of weights that lack it, only the first are read.
bool is_saturation_safe(const RhsSource& source);

}  // namespace qkern::gemm
