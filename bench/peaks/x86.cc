// Instruction peaks of x86: loops in registers alone, as wide as the register file lets independent sums be.
//
//   peak_<route>(rounds, threads): each thread does `rounds` rounds of 12 independent steps of the route; a step is what one
//   vector of products costs a GEMM at the least. The number of operations of a step is in __init__.py.
//
// asm statements that "change" the operands and sums keep the compiler from folding steps into one; they emit nothing.
#if defined(__x86_64__)
#include <immintrin.h>

#include <cstdint>

namespace {

// Variables and not an array: an array that asm statements touch stays in memory. `step` adds one vector of products to `sum`.
// clang-format off
#define PEAK_STEP(each, step)            \
  {                                      \
    auto& sum = each;                    \
    asm volatile("" : "+v"(a), "+v"(b)); \
    step;                                \
    asm volatile("" : "+v"(sum));        \
  }
#define PEAK(name, isa, Vector, zero, constant, step)                                                         \
  __attribute__((target(isa), noinline)) void loop_##name(std::int64_t rounds) {                              \
    Vector a = constant, b = constant;                                                                        \
    Vector s0 = zero, s1 = zero, s2 = zero, s3 = zero, s4 = zero, s5 = zero;                                  \
    Vector s6 = zero, s7 = zero, s8 = zero, s9 = zero, s10 = zero, s11 = zero;                                \
    for (std::int64_t round = 0; round < rounds; ++round) {                                                   \
      PEAK_STEP(s0, step) PEAK_STEP(s1, step) PEAK_STEP(s2, step) PEAK_STEP(s3, step)                         \
      PEAK_STEP(s4, step) PEAK_STEP(s5, step) PEAK_STEP(s6, step) PEAK_STEP(s7, step)                         \
      PEAK_STEP(s8, step) PEAK_STEP(s9, step) PEAK_STEP(s10, step) PEAK_STEP(s11, step)                       \
    }                                                                                                         \
  }                                                                                                           \
  extern "C" void peak_##name(std::int64_t rounds, int threads) {                                             \
    _Pragma("omp parallel num_threads(threads)") loop_##name(rounds);                                         \
  }
// clang-format on

#define VNNI_512 "avx512f,avx512vnni"
PEAK(vpdpbusd_zmm, VNNI_512, __m512i, _mm512_setzero_si512(), _mm512_set1_epi8(1), sum = _mm512_dpbusd_epi32(sum, a, b))
PEAK(vpdpbusd_ymm_evex, "avx512f,avx512vl,avx512vnni", __m256i, _mm256_setzero_si256(), _mm256_set1_epi8(1), sum = _mm256_dpbusd_epi32(sum, a, b))
PEAK(vpdpbusd_ymm, "avx2,avxvnni", __m256i, _mm256_setzero_si256(), _mm256_set1_epi8(1), sum = _mm256_dpbusd_avx_epi32(sum, a, b))
PEAK(vfmadd_zmm, "avx512f", __m512, _mm512_setzero_ps(), _mm512_set1_ps(0.5F), sum = _mm512_fmadd_ps(a, b, sum))
PEAK(vfmadd_ymm, "avx2,fma", __m256, _mm256_setzero_ps(), _mm256_set1_ps(0.5F), sum = _mm256_fmadd_ps(a, b, sum))

// The two exact routes of AVX2. The first takes any values, 16 products a step; the second narrow weights, 32 a step.
PEAK(vpmaddwd_ymm, "avx2", __m256i, _mm256_setzero_si256(), _mm256_set1_epi16(1), {
  __m256i product = _mm256_madd_epi16(a, b);
  asm volatile("" : "+v"(product));
  sum = _mm256_add_epi32(sum, product);
})
PEAK(vpsignb_ymm, "avx2", __m256i, _mm256_setzero_si256(), _mm256_set1_epi8(1), {
  __m256i product = _mm256_sign_epi8(a, b);
  asm volatile("" : "+v"(product));
  product = _mm256_madd_epi16(_mm256_maddubs_epi16(a, product), b);
  asm volatile("" : "+v"(product));
  sum = _mm256_add_epi32(sum, product);
})
// What saturating libraries do, 32 products a step.
PEAK(vpmaddubsw_ymm, "avx2", __m256i, _mm256_setzero_si256(), _mm256_set1_epi8(1), {
  __m256i product = _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), b);
  asm volatile("" : "+v"(product));
  sum = _mm256_add_epi32(sum, product);
})

}  // namespace
#endif
