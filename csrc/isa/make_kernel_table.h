// Fills every slot of a tier's table. Included by the tiers' own files only.
#pragma once

#include "conv/depthwise.h"
#include "conv/depthwise_float.h"
#include "conv/depthwise_rows.h"
#include "conv/winograd.h"
#include "elementwise/loops.h"
#include "gemm/driver.h"
#include "gemm/packing.h"
#include "isa/kernel_table.h"
#include "isa/limits.h"

namespace qkern::isa {
namespace {  // internal linkage: each tier compiles its own copy

template <gemm::MicroKernel Kernel>
constexpr Index code_register() {
  if constexpr (gemm::TakesCodes<Kernel>) return static_cast<Index>(sizeof(typename Kernel::Codes::Register));
  else return 0;
}

template <gemm::MicroKernel Kernel>
constexpr gemm::GemmKernels make_gemm_kernels() {
  return {Kernel::rows,
          Kernel::cols,
          Kernel::lanes,
          Kernel::depth,
          Kernel::lhs_offset,
          static_cast<Index>(sizeof(typename Kernel::Rhs)),
          code_register<Kernel>(),
          static_cast<Index>(sizeof(typename Kernel::Lhs)),
          &gemm::Packing<Kernel>::run,
          &gemm::Driver<Kernel>::run};
}

template <class Tier>
constexpr gemm::GemmKernels make_safe_kernels() {
  if constexpr (requires { typename Tier::Int8SafeKernel; }) return make_gemm_kernels<typename Tier::Int8SafeKernel>();
  else return make_gemm_kernels<typename Tier::Int8Kernel>();
}

template <class Tier>
constexpr conv::DepthwiseKernels make_depthwise_kernels() {
  using Simd = typename Tier::Simd;
  conv::DepthwiseKernels kernels{Simd::lanes, conv::Depthwise<Simd>::int8_taps, &conv::Depthwise<Simd>::run_int8};
  if constexpr (requires { typename Tier::DepthwiseTile; }) {
    kernels.dot_channels = Tier::DepthwiseTile::channels;
    kernels.lhs_offset = Tier::DepthwiseTile::lhs_offset;
    kernels.run_dot = &conv::DepthwiseDot<Simd, typename Tier::DepthwiseTile>::run;
  }
  if constexpr (conv::MultipliesRowPairs<Simd>) {
    kernels.row_channels = Simd::row_channels;
    kernels.run_rows = &conv::DepthwiseRows<Simd>::run;
  }
  return kernels;
}

template <class Simd>
constexpr conv::DepthwiseKernels make_float_depthwise_kernels() {
  conv::DepthwiseKernels kernels{Simd::lanes, 1, &conv::Depthwise<Simd>::run_float32};
  kernels.row_channels = Simd::lanes;
  kernels.run_rows = &conv::DepthwiseFloat<Simd>::run;
  return kernels;
}

template <class Tier>
constexpr const conv::WinogradCosts* winograd_costs() {
  if constexpr (requires { Tier::winograd_costs; }) return &Tier::winograd_costs;
  else return nullptr;
}

template <class Tier>
constexpr KernelTable make_kernel_table() {
  return {Tier::name,
          make_gemm_kernels<typename Tier::Int8Kernel>(),
          make_safe_kernels<Tier>(),
          make_gemm_kernels<typename Tier::Float32Kernel>(),
          make_depthwise_kernels<Tier>(),
          make_float_depthwise_kernels<typename Tier::Simd>(),
          conv::make_winograd_kernels<typename Tier::Int16Kernel>(winograd_costs<Tier>()),
          elementwise::make_kernels<Tier>(),
          make_limits<Tier>()};
}

}  // namespace
}  // namespace qkern::isa
