// Fills every slot of a tier's table. Included by the tiers' own files only.
#pragma once

#include "conv/depthwise.h"
#include "elementwise/loops.h"
#include "gemm/driver.h"
#include "gemm/packing.h"
#include "isa/kernel_table.h"

namespace qkern::isa {
namespace {  // internal linkage: each tier compiles its own copy

template <gemm::MicroKernel Kernel>
constexpr gemm::GemmKernels make_gemm_kernels() {
  return {Kernel::rows, Kernel::cols, Kernel::lanes, Kernel::depth, Kernel::lhs_offset,
          static_cast<Index>(sizeof(typename Kernel::Rhs)), &gemm::pack<Kernel>, &gemm::Driver<Kernel>::run};
}

template <class Tier>
constexpr KernelTable make_kernel_table() {
  using Depthwise = conv::Depthwise<Tier>;
  return {Tier::name,
          make_gemm_kernels<typename Tier::Int8Kernel>(),
          make_gemm_kernels<typename Tier::Float32Kernel>(),
          {Depthwise::lanes, &Depthwise::run_int8},
          {Depthwise::lanes, &Depthwise::run_float32},
          elementwise::make_kernels<Tier>()};
}

}  // namespace
}  // namespace qkern::isa
