// A table of 256 bytes in registers of 16: what the three x86 tiers with AVX2 look codes up with.
#pragma once

#include <immintrin.h>

#include "tensor/types.h"

namespace qkern::isa {
namespace {  // internal linkage: each tier compiles its own copy

// vpshufb gives 0 for an index below 0. A code of 0..127 goes down by 16 with each row of the table and meets rows until it is below
// 0: row k holds the differences (exclusive or) of what belongs there and in row k - 1, so that the sum of those met is its entry. Codes
// from 128 on do the same with the upper half of the table; in the other half each is below 0 from the start, and stays there, for the
// subtraction saturates.
inline void lookup_avx2(const std::uint8_t* x, Index n, const std::uint8_t* table, std::uint8_t* y) {
  __m256i row[16];
  for (int k = 0; k < 16; ++k) {
    __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table) + k);
    if (k % 8 != 0) entries = _mm_xor_si128(entries, _mm_loadu_si128(reinterpret_cast<const __m128i*>(table) + k - 1));
    row[k] = _mm256_broadcastsi128_si256(entries);
  }
  const __m256i one_row = _mm256_set1_epi8(16), half = _mm256_set1_epi8(static_cast<char>(0x80));
  Index i = 0;
  for (; i + 32 <= n; i += 32) {
    __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i)), high = _mm256_xor_si256(low, half);
    __m256i found = _mm256_xor_si256(_mm256_shuffle_epi8(row[0], low), _mm256_shuffle_epi8(row[8], high));
#pragma GCC unroll 7
    for (int k = 1; k < 8; ++k) {
      low = _mm256_subs_epi8(low, one_row);
      high = _mm256_subs_epi8(high, one_row);
      found = _mm256_xor_si256(found, _mm256_xor_si256(_mm256_shuffle_epi8(row[k], low), _mm256_shuffle_epi8(row[8 + k], high)));
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + i), found);
  }
  for (; i < n; ++i) y[i] = table[x[i]];
}

}  // namespace
}  // namespace qkern::isa
