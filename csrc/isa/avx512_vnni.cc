// Tier avx512_vnni: vpdpbusd on 512 bits, u8 x s8, four products summed into int32 without saturation. Signed lhs is moved to
// uint8 by one xor in the register, which costs nothing beside the dot products.
#include <immintrin.h>

#include "isa/make_kernel_table.h"

namespace qkern::isa {
namespace {

inline int load_i32(const void* from) {
  int value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

// 6 x 64: 24 accumulators, 4 columns of rhs, 1 broadcast of lhs, 1 flip mask; 30 of 32 registers.
struct Int8Avx512Vnni {
  using Lhs = std::uint8_t;
  using Rhs = std::int8_t;
  using Acc = std::int32_t;
  static constexpr int rows = 6, cols = 64, lanes = 16, depth = 4;
  static constexpr std::int32_t lhs_offset = 128;

  template <int Rows, int Vectors>
  static void run(const gemm::TileArgs<Int8Avx512Vnni>& args) {
    __m512i sum[Rows][Vectors];
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[r][v] = _mm512_setzero_si512();
    }
    const __m512i flip = _mm512_set1_epi32(static_cast<int>(args.lhs_flip));
    const std::int8_t* rhs = args.panel;
    for (Index tap = 0; tap < args.taps; ++tap) {
      const std::uint8_t* lhs[Rows];
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r) lhs[r] = args.lhs_rows[r] + args.tap_offsets[tap];
      for (Index g = 0; g < args.depth_groups; ++g, rhs += Vectors * 64) {
        __m512i b[Vectors];
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) b[v] = _mm512_loadu_si512(rhs + v * 64);
#pragma GCC unroll 6
        for (int r = 0; r < Rows; ++r) {
          const __m512i a = _mm512_xor_si512(_mm512_set1_epi32(load_i32(lhs[r] + g * 4)), flip);
#pragma GCC unroll 4
          for (int v = 0; v < Vectors; ++v) sum[r][v] = _mm512_dpbusd_epi32(sum[r][v], a, b[v]);
        }
      }
    }
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) _mm512_store_si512(args.tile + (r * Vectors + v) * 16, sum[r][v]);
    }
  }
};

// The same picture with floats: 24 accumulators, 4 columns of rhs, 1 broadcast.
struct Float32Avx512 {
  using Lhs = float;
  using Rhs = float;
  using Acc = float;
  static constexpr int rows = 6, cols = 64, lanes = 16, depth = 1;
  static constexpr std::int32_t lhs_offset = 0;

  template <int Rows, int Vectors>
  static void run(const gemm::TileArgs<Float32Avx512>& args) {
    __m512 sum[Rows][Vectors];
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[r][v] = _mm512_setzero_ps();
    }
    const float* rhs = args.panel;
    for (Index tap = 0; tap < args.taps; ++tap) {
      const float* lhs[Rows];
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r) lhs[r] = args.lhs_rows[r] + args.tap_offsets[tap];
      for (Index k = 0; k < args.depth_groups; ++k, rhs += Vectors * 16) {
        __m512 b[Vectors];
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) b[v] = _mm512_loadu_ps(rhs + v * 16);
#pragma GCC unroll 6
        for (int r = 0; r < Rows; ++r) {
          const __m512 a = _mm512_set1_ps(lhs[r][k]);
#pragma GCC unroll 4
          for (int v = 0; v < Vectors; ++v) sum[r][v] = _mm512_fmadd_ps(a, b[v], sum[r][v]);
        }
      }
    }
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) _mm512_store_ps(args.tile + (r * Vectors + v) * 16, sum[r][v]);
    }
  }
};

struct Tier {
  static constexpr const char* name = "avx512_vnni";
  static constexpr int vector_bytes = 64;
  using Int8Kernel = Int8Avx512Vnni;
  using Float32Kernel = Float32Avx512;
  template <class Vector>
  static Vector multiply_add(Vector a, Vector b, Vector sum) { return Vector(_mm512_fmadd_ps(__m512(a), __m512(b), __m512(sum))); }
};

}  // namespace

const KernelTable& kernel_table_avx512_vnni() {
  static constexpr KernelTable table = make_kernel_table<Tier>();
  return table;
}

}  // namespace qkern::isa
