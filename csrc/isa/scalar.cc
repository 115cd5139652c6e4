// Tier scalar: no instruction beyond the processor's baseline. Slow, and the reference for all others.
#include "isa/make_kernel_table.h"

namespace qkern::isa {
namespace {

struct Tier {
  static constexpr const char* name = "scalar";
  static constexpr int vector_bytes = 16;
  using Int8Kernel = gemm::ScalarKernel<4, 8, 2>;
  using Float32Kernel = gemm::ScalarKernel<4, 8, 1, float, float, float>;

  template <class Vector>
  static Vector multiply_add(Vector a, Vector b, Vector sum) {
    for (int i = 0; i < 4; ++i) sum[i] = __builtin_fmaf(a[i], b[i], sum[i]);
    return sum;
  }
};

}  // namespace

const KernelTable& kernel_table_scalar() {
  static constexpr KernelTable table = make_kernel_table<Tier>();
  return table;
}

}  // namespace qkern::isa
