// What saturating libraries do on AVX2, in registers alone; the tiers' own loops are in csrc/isa/limits.h.
//
// peak_vpmaddubsw_ymm(rounds, threads): each thread does `rounds` rounds of 12 independent steps, 32 products each.
#if defined(__x86_64__)
#include <immintrin.h>

#include <cstdint>

#include "on_threads.h"

namespace {

// asm statements that "change" the operands keep the compiler from folding steps into one; they emit nothing.
__attribute__((target("avx2"), always_inline)) inline __m256i step(__m256i& a, __m256i& b, __m256i sum) {
  asm volatile("" : "+x"(a), "+x"(b));
  sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), b));
  asm volatile("" : "+x"(sum));
  return sum;
}

__attribute__((target("avx2"), noinline)) void loop(std::int64_t rounds) {
  __m256i a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(1), sum[12] = {};
  for (std::int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) sum[i] = step(a, b, sum[i]);
  }
}

}  // namespace

extern "C" void peak_vpmaddubsw_ymm(std::int64_t rounds, int threads) {
  on_threads(threads, [&](int) { loop(rounds); });
}
#endif
