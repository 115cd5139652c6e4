// What the two 256-bit tiers share: the FP32 tile and the vector multiply-add.
#pragma once

#include <immintrin.h>

#include "gemm/micro_kernel.h"

namespace qkern::isa {
namespace {

// 6 x 16: 12 accumulators, 2 columns of rhs, 1 broadcast of lhs; 15 of 16 registers.
struct Float32Avx2 {
  using Lhs = float;
  using Rhs = float;
  using Acc = float;
  static constexpr int rows = 6, cols = 16, lanes = 8, depth = 1;
  static constexpr std::int32_t lhs_offset = 0;

  template <int Rows, int Vectors>
  static void run(const gemm::TileArgs<Float32Avx2>& args) {
    __m256 sum[Rows][Vectors];
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) sum[r][v] = _mm256_setzero_ps();
    }
    const float* rhs = args.panel;
    for (Index tap = 0; tap < args.taps; ++tap) {
      const float* lhs[Rows];
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r) lhs[r] = args.lhs_rows[r] + args.tap_offsets[tap];
      for (Index k = 0; k < args.depth_groups; ++k, rhs += Vectors * 8) {
        __m256 b[Vectors];
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) b[v] = _mm256_loadu_ps(rhs + v * 8);
#pragma GCC unroll 6
        for (int r = 0; r < Rows; ++r) {
          const __m256 a = _mm256_broadcast_ss(lhs[r] + k);
#pragma GCC unroll 2
          for (int v = 0; v < Vectors; ++v) sum[r][v] = _mm256_fmadd_ps(a, b[v], sum[r][v]);
        }
      }
    }
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) _mm256_store_ps(args.tile + (r * Vectors + v) * 8, sum[r][v]);
    }
  }
};

template <class Vector>
Vector multiply_add_avx2(Vector a, Vector b, Vector sum) {
  return Vector(_mm256_fmadd_ps(__m256(a), __m256(b), __m256(sum)));
}

// lhs bytes at any address, four at a time.
inline int load_i32(const void* from) {
  int value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

}  // namespace
}  // namespace qkern::isa
