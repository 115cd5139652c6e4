// Tier scalar: no instruction beyond the processor's baseline. Slow, and the reference for all others.
#include "isa/make_kernel_table.h"

namespace qkern::isa {
namespace {

struct SimdScalar {
  static constexpr int lanes = 4;
  using I32 [[gnu::vector_size(16)]] = std::int32_t;
  using U32 [[gnu::vector_size(16)]] = std::uint32_t;
  using F32 [[gnu::vector_size(16)]] = float;

  template <class T>
  static I32 widen(const T* from) {
    return I32{from[0], from[1], from[2], from[3]};
  }
  static constexpr const char* multiply_add_instruction = "fma";
  static F32 multiply_add(F32 a, F32 b, F32 sum) {
    for (int i = 0; i < lanes; ++i) sum[i] = __builtin_fmaf(a[i], b[i], sum[i]);
    return sum;
  }
  template <class T>
  static void store_bytes(I32 value, T* to) {
    for (int i = 0; i < lanes; ++i) to[i] = static_cast<T>(value[i]);
  }
};

struct Int8ProductsScalar {
  using Vector = SimdScalar::U32;
  static constexpr const char* instructions = "multiply + add";
  static constexpr int products = SimdScalar::lanes;
  static Vector add(Vector sum, Vector a, Vector b) { return sum + a * b; }
};

#ifdef __FP_FAST_FMAF
using Float32ProductsScalar = VectorProducts<SimdScalar>;
#else  // a call of a function for each
struct Float32ProductsScalar {
  using Vector = float;
  static constexpr const char* instructions = SimdScalar::multiply_add_instruction;
  static constexpr int products = 1;
  static Vector add(Vector sum, Vector a, Vector b) { return __builtin_fmaf(a, b, sum); }
};
#endif

struct Tier {
  static constexpr const char* name = "scalar";
  using Simd = SimdScalar;
  using Int8Products = Int8ProductsScalar;
  using Float32Products = Float32ProductsScalar;
  using Int8Kernel = gemm::ScalarKernel<Simd, 4, 8, 2>;
  using Float32Kernel = gemm::ScalarFloatKernel<Simd, 4, 8>;
  using Int16Kernel = conv::ScalarInt16Kernel<Simd, 4, 8>;
  static constexpr conv::WinogradCosts winograd_costs{{0, 0, 0, 0.428, 0, 0},
                                                      {{302, 0.3, 13.3, 0.164, 0.0014, 0.0303}, {0, 3.8, 42.6, 0.165, 0.0004, 0.0121}}};
};

}  // namespace

const KernelTable& kernel_table_scalar() {
  static constexpr KernelTable table = make_kernel_table<Tier>();
  return table;
}

}  // namespace qkern::isa
