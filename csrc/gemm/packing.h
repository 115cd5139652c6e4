// Right operand -> panels [panel][tap][depth_group][lane][depth], zero padded, and the sum of each column.
//
// Panels are made in chunks of depth. Where the columns of a row are neighbours, the rows of a group are interleaved; else each
// column's part goes to a small block first, which stays in L1 whatever the distance of the columns, and is transposed from there.
#pragma once

#include <cstring>
#include <type_traits>

#include "gemm/gemm.h"
#include "gemm/micro_kernel.h"

namespace qkern::gemm {
namespace {  // internal linkage: each tier compiles its own copy

template <MicroKernel Kernel>
class Packing {
 public:
  // Returns Rhs::narrow.
  static bool run(const RhsSource& source, void* panels, std::int32_t* column_sums) {
    bool narrow = true;
    const Index row_groups = divide_up(source.tap_depth, depth);
    const Index panel_count = divide_up(source.cols, Kernel::cols), panel_elements = source.taps * row_groups * depth * Kernel::cols;
    // Of rows, several panels at a time: whole cache lines of the source.
    const Index at_once = source.col_stride == 1 ? strip : 1;
    for (Index first = 0; first < panel_count; first += at_once) {
      const Index last = first + at_once < panel_count ? first + at_once : panel_count;
      std::uint32_t sums[strip][Kernel::cols] = {};
      for (Index tap = 0; tap < source.taps; ++tap) {
        for (Index group = 0; group < row_groups; group += chunk_groups) {
          const Index d = group * depth, rest = source.tap_depth - d, count = rest < chunk ? rest : chunk;
          const auto* from = static_cast<const Element*>(source.data) + (tap * source.tap_depth + d) * source.depth_stride;
          for (Index panel = first; panel < last; ++panel) {
            const Index col = panel * Kernel::cols, left = source.cols - col, valid = left < Kernel::cols ? left : Index{Kernel::cols};
            const Index lanes = round_up(valid, Kernel::lanes);
            Element* out = static_cast<Element*>(panels) + panel * panel_elements + (tap * row_groups + group) * lanes * depth;
            if (source.col_stride == 1) pack_rows(source, from + col, valid, lanes, count, out, sums[panel - first]);
            else pack_columns(source, from + col * source.col_stride, valid, lanes, count, out, sums[panel - first]);
            narrow = narrow && is_narrow(out, divide_up(count, depth) * lanes * depth);
          }
        }
      }
      if constexpr (integer) {
        const Index end = last * Kernel::cols < source.cols ? last * Kernel::cols : source.cols;
        std::memcpy(column_sums + first * Kernel::cols, sums, static_cast<std::size_t>(end - first * Kernel::cols) * sizeof(std::int32_t));
      }
    }
    return narrow;
  }

 private:
  using Element = typename Kernel::Rhs;
  static constexpr bool integer = std::is_integral_v<Element>;
  static constexpr Index strip = Kernel::cols < 256 ? 256 / Kernel::cols : 1;  // panels
  static constexpr Index depth = Kernel::depth, chunk_groups = 64 / static_cast<Index>(sizeof(Element)) / depth, chunk = chunk_groups * depth;

  // uint8 becomes int8 by subtracting 128 (one xor); the caller moves its zero point likewise.
  static Element converted(Element value, std::uint8_t flip) {
    if constexpr (integer) return static_cast<Element>(static_cast<std::uint8_t>(value) ^ flip);
    else return value;
  }
  // Whether none of `count` packed elements is -128. (Of floats nobody asks.)
  static bool is_narrow(const Element* packed, Index count) {
    if constexpr (integer) {
      Element least = 0;
      for (Index i = 0; i < count; ++i) least = packed[i] < least ? packed[i] : least;
      return least > -128;
    } else {
      return true;
    }
  }
  static std::uint8_t flip_of(const RhsSource& source) { return static_cast<std::uint8_t>(integer && !source.is_signed ? 0x80 : 0); }

  static void pack_rows(const RhsSource& source, const Element* from, Index valid, Index lanes, Index count, Element* __restrict out,
                        std::uint32_t* __restrict sums) {
    const std::uint8_t flip = flip_of(source);
    for (Index d = 0; d < count; d += depth, out += lanes * depth) {
      Element rows[depth][Kernel::cols];
      for (Index j = 0; j < depth; ++j) {
        const Index used = d + j < count ? valid : 0;
        const Element* row = from + (d + j) * source.depth_stride;
        if (used == Kernel::cols) {
          for (Index c = 0; c < Kernel::cols; ++c) rows[j][c] = converted(row[c], flip);
        } else {
          for (Index c = 0; c < used; ++c) rows[j][c] = converted(row[c], flip);
          for (Index c = used; c < Kernel::cols; ++c) rows[j][c] = Element{};
        }
        if constexpr (integer) {
          for (Index c = 0; c < Kernel::cols; ++c) sums[c] += static_cast<std::uint32_t>(rows[j][c]);
        }
      }
      for (Index lane = 0; lane < lanes; lane += Kernel::lanes) {
        for (Index c = 0; c < Kernel::lanes; ++c) {
          for (Index j = 0; j < depth; ++j) out[(lane + c) * depth + j] = rows[j][lane + c];
        }
      }
    }
  }

  static void pack_columns(const RhsSource& source, const Element* from, Index valid, Index lanes, Index count, Element* __restrict out,
                           std::uint32_t* __restrict sums) {
    const std::uint8_t flip = flip_of(source);
    Element block[Kernel::cols][chunk];
    for (Index lane = 0; lane < lanes; ++lane) {
      const Element* column = from + lane * source.col_stride;
      const Index used = lane < valid ? count : 0;
      if (used == chunk && source.depth_stride == 1) {
        for (Index d = 0; d < chunk; ++d) block[lane][d] = converted(column[d], flip);
      } else {
        for (Index d = 0; d < used; ++d) block[lane][d] = converted(column[d * source.depth_stride], flip);
        for (Index d = used; d < chunk; ++d) block[lane][d] = Element{};
      }
      if constexpr (integer) {
        std::int32_t sum = 0;
        for (Index d = 0; d < chunk; ++d) sum += block[lane][d];
        sums[lane] += static_cast<std::uint32_t>(sum);
      }
    }
    for (Index d = 0; d < count; d += depth, out += lanes * depth) {
      for (Index lane = 0; lane < lanes; ++lane) std::memcpy(out + lane * depth, &block[lane][d], depth * sizeof(Element));
    }
  }
};

}  // namespace
}  // namespace qkern::gemm
