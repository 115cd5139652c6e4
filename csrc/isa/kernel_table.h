// A tier = one table of functions. csrc/isa/CMakeLists.txt lists the tiers; each <tier>.cc fills its table from the templates
// of gemm/, conv/ and elementwise/, so that a tier is complete or does not compile.
//
// A tier is a struct in an anonymous namespace (no instance is shared between files compiled with different flags):
//   name                       its one spelling
//   Int8Kernel, Float32Kernel  gemm::MicroKernel
//   Int8SafeKernel             optional: one that is exact for saturation-safe weights only (gemm/saturation.h)
//   DepthwiseTile              optional: conv::DepthwiseDot
//   Int16Kernel                conv::Int16Kernel
//   winograd_costs             optional: conv::WinogradCosts, without which `auto` never chooses Winograd
//   Simd                       its vectors: lanes; I32, U32, F32, GCC vector types of that many elements;
//                              widen(address of int8, uint8 or int16) -> I32
//                              multiply_add(F32 a, F32 b, F32 sum) -> a * b + sum, rounded once
//                              multiply_add_instruction: its name
//                              optional: multiply_add(address of 4 * lanes codes, address of int16 weights, I32 (&sum)[4])
//                              store_bytes(I32, address): the low byte of each lane
//                              optional: Codes<Out>(zero_point, low, high), whose store(a0, b0, a1, b1, to0, to1) rounds and stores the
//                              codes of two vectors of numbers that fit int32, for each of two rows
//                              optional: dot_pairs(x0, x1, w, I32 sum) -> sum + x0[i] * w[2 i] + x1[i] * w[2 i + 1], x int8 or
//                              uint8, w int16 of magnitude up to 255
//                              optional: row_channels, row_pixels, pair_rows, dot_row_pairs: conv/depthwise_rows.h
//   Int8Products, Float32Products  what products cost at the least (isa/limits.h); Int8SafeProducts with Int8SafeKernel
//   lookup                     optional: elementwise::Kernels::lookup
#pragma once

#include <span>

#include "conv/kernels.h"
#include "elementwise/kernels.h"
#include "gemm/gemm.h"

namespace qkern::isa {

// Multiplies in registers alone: `rounds` times `operations`, 2 per product.
struct RegisterLoop {
  const char* instructions;
  Index operations;
  void (*run)(Index rounds);
};

// What bounds a tier's kernels.
struct Limits {
  RegisterLoop int8, int8_safe, float32;  // int8_safe: of that kernel, int8 where there is none of its own
  // The exclusive or of all bytes: reads as fast as the tier's loads can.
  std::uint8_t (*read)(const unsigned char* data, Index size);
};

struct KernelTable {
  const char* name;
  gemm::GemmKernels int8;
  gemm::GemmKernels int8_safe;  // for saturation-safe weights; the same as int8 where that is the best for these too
  gemm::GemmKernels float32;
  conv::DepthwiseKernels depthwise_int8;
  conv::DepthwiseKernels depthwise_float32;
  conv::WinogradKernels winograd;
  elementwise::Kernels elementwise;
  Limits limits;
};

// The table of the tier at `index` of cpu::tiers().
const KernelTable& kernel_table(int index);

// The table new work uses: the active tier's.
const KernelTable& active_kernels();

// Of `table`, what products by all of `weights` (int8 or uint8) take: int8_safe where each is proven saturation-safe, else int8.
const gemm::GemmKernels& int8_kernels(const KernelTable& table, std::span<const gemm::RhsSource> weights);

}  // namespace qkern::isa
