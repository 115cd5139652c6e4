// Right operand -> panels [panel][tap][depth_group][lane][depth], zero padded, and the sum of each column.
#pragma once

#include <cstring>
#include <type_traits>

#include "gemm/gemm.h"
#include "gemm/micro_kernel.h"

namespace qkern::gemm {
namespace {  // internal linkage: each tier compiles its own copy

// uint8 becomes int8 by subtracting 128 (one xor); the caller moves its zero point likewise.
template <MicroKernel Kernel>
bool pack(const RhsSource& source, void* panels, std::int32_t* column_sums) {
  using Element = typename Kernel::Rhs;
  constexpr bool integer = std::is_integral_v<Element>;
  constexpr Index depth = Kernel::depth;
  const auto* data = static_cast<const Element*>(source.data);
  const Index groups = divide_up(source.tap_depth, depth);
  const auto flip = static_cast<std::uint8_t>(integer && !source.is_signed ? 0x80 : 0);
  auto* out = static_cast<Element*>(panels);
  bool narrow = true;
  for (Index panel = 0; panel < source.cols; panel += Kernel::cols) {
    const Index valid = source.cols - panel < Kernel::cols ? source.cols - panel : Index{Kernel::cols};
    const Index lanes = round_up(valid, Kernel::lanes);
    std::memset(out, 0, static_cast<std::size_t>(source.taps * groups * lanes * depth) * sizeof(Element));
    for (Index lane = 0; lane < valid; ++lane) {
      const Element* column = data + (panel + lane) * source.col_stride;
      std::uint32_t sum = 0;
      for (Index tap = 0; tap < source.taps; ++tap) {
        Element* to = out + (tap * groups * lanes + lane) * depth;
        const Element* from = column + tap * source.tap_depth * source.depth_stride;
        for (Index d = 0; d < source.tap_depth; ++d) {
          Element value = from[d * source.depth_stride];
          if constexpr (integer) {
            value = static_cast<Element>(static_cast<std::uint8_t>(value) ^ flip);
            sum += static_cast<std::uint32_t>(value);
            narrow = narrow && value != -128;
          }
          to[d / depth * lanes * depth + d % depth] = value;
        }
      }
      if constexpr (integer) column_sums[panel + lane] = static_cast<std::int32_t>(sum);
    }
    out += source.taps * groups * lanes * depth;
  }
  return narrow;
}

}  // namespace
}  // namespace qkern::gemm
