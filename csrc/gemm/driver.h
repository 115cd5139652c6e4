// The loops around a micro-kernel, the same for every tier: blocks of rows, panels of columns, tiles.
//
//   for each block of rows (its lhs bytes stay in L2)
//     for each panel (it streams through L1)
//       for each tile of the block: kernel, epilogue
//
// Row and column tails are smaller instances of the same kernel; the depth tail is zero weights. A row is copied only
// where the kernel wants wider elements (int16), or where reading to the end of the last group would leave the array.
#pragma once

#include <type_traits>
#include <utility>

#include "gemm/epilogue.h"
#include "gemm/gemm.h"
#include "gemm/micro_kernel.h"
#include "tensor/scratch.h"

namespace qkern::gemm {
namespace {  // internal linkage: each tier compiles its own copy

template <MicroKernel Kernel>
class Driver {
 public:
  static void run(const Lhs& lhs, const Rhs& rhs, const Epilogue& epilogue, Range rows, Range panels) {
    const Index block_rows = rows_per_block(lhs);
    const Gathered gathered = gathered_rows(lhs, rhs.depth_groups * Kernel::depth, widens ? block_rows : Index{Kernel::rows});
    for (Index begin = rows.begin; begin < rows.end; begin += block_rows) {
      const Index end = begin + block_rows < rows.end ? begin + block_rows : rows.end;
      run_block(lhs, rhs, epilogue, {begin, end}, panels, gathered);
    }
  }

 private:
  using Element = typename Kernel::Lhs;
  using Acc = typename Kernel::Acc;
  using Run = void (*)(const TileArgs<Kernel>&);
  static constexpr bool widens = sizeof(Element) == 2;
  static constexpr int vectors = Kernel::cols / Kernel::lanes;
  static constexpr Index block_bytes = 128 * 1024;

  template <std::size_t... I>
  static constexpr auto make_variants(std::index_sequence<I...>) {
    struct Variants {
      Run run[Kernel::rows * vectors];
    };
    return Variants{{&Kernel::template run<static_cast<int>(I) / vectors + 1, static_cast<int>(I) % vectors + 1>...}};
  }
  static constexpr auto variants = make_variants(std::make_index_sequence<Kernel::rows * vectors>{});

  static Index rows_per_block(const Lhs& lhs) {
    const Index row_bytes = lhs.taps * lhs.tap_depth * static_cast<Index>(sizeof(Element)) + 1;
    const Index tiles = block_bytes / (row_bytes * Kernel::rows);
    return Kernel::rows * (tiles < 4 ? 4 : tiles);
  }

  // Copied rows [row][tap][padded depth], and where their taps are.
  struct Gathered {
    Index* tap_offsets;
    Element* rows;
  };

  static Gathered gathered_rows(const Lhs& lhs, Index padded_depth, Index rows) {
    if (!widens && lhs.end == nullptr) return {};
    const Index header = round_up(lhs.taps * static_cast<Index>(sizeof(Index)), 64);
    const Index bytes = header + rows * lhs.taps * padded_depth * static_cast<Index>(sizeof(Element));
    auto* memory = static_cast<unsigned char*>(tensor::scratch(tensor::Scratch::GatheredRows, static_cast<std::size_t>(bytes)));
    auto* offsets = reinterpret_cast<Index*>(memory);
    for (Index tap = 0; tap < lhs.taps; ++tap) offsets[tap] = tap * padded_depth;
    return {offsets, reinterpret_cast<Element*>(memory + header)};
  }

  static const void* row_address(const Lhs& lhs, Index row) {
    constexpr Index size = widens ? 1 : static_cast<Index>(sizeof(Element));
    const Index offset = row / lhs.inner_rows * lhs.outer_stride + row % lhs.inner_rows * lhs.inner_stride;
    return static_cast<const unsigned char*>(lhs.data) + offset * size;
  }

  // Copies rows to [row][tap][padded depth]; the padding is whatever is there, times zero.
  static void gather(const Lhs& lhs, Range rows, Index padded_depth, Element* out) {
    for (Index r = rows.begin; r < rows.end; ++r) {
      for (Index tap = 0; tap < lhs.taps; ++tap, out += padded_depth) {
        gather_run(row_address(lhs, r), lhs.tap_offsets[tap], lhs.tap_depth, lhs.is_signed, out);
        for (Index d = lhs.tap_depth; d < padded_depth; ++d) out[d] = Element{};
      }
    }
  }

  static void gather_run(const void* row, Index offset, Index count, bool is_signed, Element* __restrict out) {
    if constexpr (widens) {
      if (is_signed) {
        const auto* from = static_cast<const std::int8_t*>(row) + offset;
        for (Index d = 0; d < count; ++d) out[d] = from[d];
      } else {
        const auto* from = static_cast<const std::uint8_t*>(row) + offset;
        for (Index d = 0; d < count; ++d) out[d] = from[d];
      }
    } else {
      const auto* from = static_cast<const Element*>(row) + offset;
      for (Index d = 0; d < count; ++d) out[d] = from[d];
    }
  }

  static bool leaves_array(const Lhs& lhs, Range rows, Index padded_depth) {
    if (lhs.end == nullptr || padded_depth == lhs.tap_depth) return false;
    const auto* end = static_cast<const unsigned char*>(lhs.end);
    for (Index r = rows.begin; r < rows.end; ++r) {
      for (Index tap = 0; tap < lhs.taps; ++tap) {
        const auto* run = static_cast<const Element*>(row_address(lhs, r)) + lhs.tap_offsets[tap];
        if (end - reinterpret_cast<const unsigned char*>(run) < padded_depth * static_cast<Index>(sizeof(Element))) return true;
      }
    }
    return false;
  }

  static void run_block(const Lhs& lhs, const Rhs& rhs, const Epilogue& epilogue, Range rows, Range panels, const Gathered& gathered) {
    const Index padded_depth = rhs.depth_groups * Kernel::depth;
    const Index row_elements = lhs.taps * padded_depth;
    if constexpr (widens) gather(lhs, rows, padded_depth, gathered.rows);

    alignas(64) Acc tile[Kernel::rows * Kernel::cols];
    const Element* row_pointers[Kernel::rows];
    const std::uint32_t flip = applied_offset(Kernel::lhs_offset, lhs.is_signed) != 0 ? 0x80808080u : 0u;
    TileArgs<Kernel> args{row_pointers, lhs.tap_offsets, lhs.taps, rhs.depth_groups, nullptr, flip, lhs.is_signed, rhs.narrow, tile};
    const Index panel_elements = rhs.taps * rhs.depth_groups * Kernel::depth * Kernel::cols;
    for (Index panel = panels.begin; panel < panels.end; ++panel) {
      const Index col = panel * Kernel::cols;
      const Index cols = rhs.cols - col < Kernel::cols ? rhs.cols - col : Index{Kernel::cols};
      const Index panel_vectors = divide_up(cols, Kernel::lanes);
      args.panel = static_cast<const typename Kernel::Rhs*>(rhs.panels) + panel * panel_elements;
      for (Index row = rows.begin; row < rows.end; row += Kernel::rows) {
        const Index count = rows.end - row < Kernel::rows ? rows.end - row : Index{Kernel::rows};
        args.tap_offsets = lhs.tap_offsets;
        if (widens || leaves_array(lhs, {row, row + count}, padded_depth)) {
          const Element* first = gathered.rows;
          if constexpr (widens) first += (row - rows.begin) * row_elements;
          else gather(lhs, {row, row + count}, padded_depth, gathered.rows);
          for (Index r = 0; r < count; ++r) row_pointers[r] = first + r * row_elements;
          args.tap_offsets = gathered.tap_offsets;
        } else {
          for (Index r = 0; r < count; ++r) row_pointers[r] = static_cast<const Element*>(row_address(lhs, row + r));
        }
        variants.run[(count - 1) * vectors + panel_vectors - 1](args);
        finish_tile<typename Kernel::Simd>(epilogue, tile, panel_vectors * Kernel::lanes, {row, row + count}, {col, col + cols});
      }
    }
  }
};

}  // namespace
}  // namespace qkern::gemm
