// The loops around a micro-kernel, the same for every tier: blocks of rows, panels of columns, tiles.
//
//   for each block of rows (its lhs bytes stay in L2, and what is written of it where all panels do)
//     for each panel (it streams through L1)
//       for each tile of the block: kernel, epilogue
//
// Row and column tails are smaller instances of the same kernel; the depth tail is zero weights. A row is copied only
// where the kernel wants wider elements (int16) or would move them to uint8 once per panel (or can't), or where reading to the end of the last
// group would leave the array.
#pragma once

#include <cstring>
#include <type_traits>
#include <utility>

#include "gemm/epilogue.h"
#include "gemm/gemm.h"
#include "gemm/micro_kernel.h"
#include "gemm/row_walk.h"
#include "tensor/scratch.h"

namespace qkern::gemm {
namespace {  // internal linkage: each tier compiles its own copy

template <MicroKernel Kernel>
class Driver {
 public:
  static void run(const Lhs& lhs, const Rhs& rhs, const Epilogue& epilogue, Range rows, Range panels) {
    with_finisher<typename Kernel::Simd, Acc>(epilogue, [&](const auto& finish) { run_blocks(lhs, rhs, finish, rows, panels); });
  }

 private:
  using Element = typename Kernel::Lhs;
  using Acc = typename Kernel::Acc;
  using Run = void (*)(const TileArgs<Kernel>&);
  static constexpr bool widens = sizeof(Element) == 2;
  static constexpr bool never_flips = requires { requires Kernel::never_flips; };
  static constexpr bool moves_once = never_flips || requires { requires Kernel::flip_costs; };
  static constexpr int vectors = Kernel::cols / Kernel::lanes;
  static constexpr Index block_bytes = 128 * 1024;

  template <class Finisher>
  static void run_blocks(const Lhs& lhs, const Rhs& rhs, const Finisher& finish, Range rows, Range panels) {
    const Index panel_bytes = rhs.taps * rhs.depth_groups * Kernel::depth * Kernel::cols * static_cast<Index>(sizeof(typename Kernel::Rhs));
    const Index count = panels.end - panels.begin;
    // Each panel writes a part of the block's lines again. Large weights are better read seldom.
    const Index written = count > 1 && count * panel_bytes <= block_bytes ? finish.bytes_of(count * Kernel::cols) : 0;
    const Index block_rows = rows_per_block(lhs, written) * (rhs.levels == nullptr ? 1 : 2);
    const Gathered gathered = gathered_rows(lhs, rhs.depth_groups * Kernel::depth, block_rows, gathers(lhs, panels));
    for (Index begin = rows.begin; begin < rows.end; begin += block_rows) {
      const Index end = begin + block_rows < rows.end ? begin + block_rows : rows.end;
      run_block(lhs, rhs, finish, {begin, end}, panels, gathered);
    }
  }

  template <std::size_t... I>
  static constexpr auto make_variants(std::index_sequence<I...>) {
    struct Variants {
      Run run[Kernel::rows * vectors];
    };
    return Variants{{&Kernel::template run<static_cast<int>(I) / vectors + 1, static_cast<int>(I) % vectors + 1>...}};
  }
  static constexpr auto variants = make_variants(std::make_index_sequence<Kernel::rows * vectors>{});

  // Of codes of 4 bits, looked up by the kernel itself.
  template <std::size_t... I>
  static constexpr auto make_code_variants(std::index_sequence<I...>) {
    struct Variants {
      Run run[Kernel::code_rows * vectors];
    };
    return Variants{{&Kernel::template run_codes<static_cast<int>(I) / vectors + 1, static_cast<int>(I) % vectors + 1>...}};
  }
  static const Run* code_variants() {
    if constexpr (TakesCodes<Kernel>) {
      static constexpr auto made = make_code_variants(std::make_index_sequence<Kernel::code_rows * vectors>{});
      return made.run;
    } else {
      return nullptr;
    }
  }
  static constexpr Index most_code_rows() {
    if constexpr (TakesCodes<Kernel>) return Kernel::code_rows;
    else return 0;
  }
  static bool looks_up(const Rhs& rhs, Index rows) {
    if constexpr (TakesCodes<Kernel>) return rhs.levels != nullptr && rhs.padding == 0 && rows <= Kernel::few_rows;
    else return false;
  }

  // A panel of codes written out as int8, which is read from L1 or L2 as often as there are tiles of rows.
  [[gnu::noinline]] static const std::int8_t* expanded(const Rhs& rhs, const std::int8_t* codes, Index group_bytes) {
    const Index size = rhs.taps * rhs.depth_groups * group_bytes;
    auto* const panel = static_cast<std::int8_t*>(tensor::scratch(tensor::Scratch::ExpandedPanel, static_cast<std::size_t>(size) + 64));
    const typename Kernel::Codes table(rhs.levels);
    constexpr auto step = static_cast<Index>(sizeof(typename Kernel::Codes::Register));
    for (Index at = 0; at < size; at += step, codes += Kernel::Codes::stored(step)) {
      const auto weights = table.load(codes);
      std::memcpy(panel + at, &weights, sizeof weights);
    }
    if (rhs.padding == 0) return panel;
    for (Index tap = 1; tap <= rhs.taps; ++tap) {
      std::int8_t* const last = panel + (tap * rhs.depth_groups - 1) * group_bytes;
      for (Index at = Kernel::depth; at <= group_bytes; at += Kernel::depth) {
        std::memset(last + at - rhs.padding, 0, static_cast<std::size_t>(rhs.padding));
      }
    }
    return panel;
  }

  // Whether all rows of a block are copied, in the form that the kernel multiplies.
  static bool gathers(const Lhs& lhs, Range panels) {
    if constexpr (moves_once) return lhs.is_signed && (never_flips || panels.end - panels.begin > 1);
    else return widens && !lhs.is_wide;
  }

  static Index rows_per_block(const Lhs& lhs, Index written) {
    const Index row_bytes = lhs.taps * lhs.tap_depth * static_cast<Index>(sizeof(Element)) + written + 1;
    const Index tiles = block_bytes / (row_bytes * Kernel::rows);
    return Kernel::rows * (tiles < 4 ? 4 : tiles);
  }

  // Copied rows [row][tap][padded depth], and where their taps are: `all` of a block, or one tile at a time where it has to be.
  struct Gathered {
    bool all;
    Index* tap_offsets;
    Element* rows;
  };

  static Gathered gathered_rows(const Lhs& lhs, Index padded_depth, Index block_rows, bool all) {
    if (!all && lhs.end == nullptr) return {};
    const Index header = round_up(lhs.taps * static_cast<Index>(sizeof(Index)), 64), rows = all ? block_rows : Index{Kernel::rows};
    const Index bytes = header + rows * lhs.taps * padded_depth * static_cast<Index>(sizeof(Element));
    auto* memory = static_cast<unsigned char*>(tensor::scratch(tensor::Scratch::GatheredRows, static_cast<std::size_t>(bytes)));
    auto* offsets = reinterpret_cast<Index*>(memory);
    for (Index tap = 0; tap < lhs.taps; ++tap) offsets[tap] = tap * padded_depth;
    return {all, offsets, reinterpret_cast<Element*>(memory + header)};
  }

  // Copies rows to [row][tap][padded depth]; the padding is whatever is there, times zero. Rows that follow each other are one run.
  // `flip`: an xor for each byte.
  static void gather(const Lhs& lhs, RowWalk walk, Range rows, Index padded_depth, Element* out, std::uint8_t flip) {
    const bool dense = lhs.taps == 1 && lhs.tap_depth == padded_depth && lhs.inner_stride == padded_depth && rows.end <= lhs.inner_rows;
    const Index runs = dense ? 1 : rows.end - rows.begin, length = dense ? (rows.end - rows.begin) * padded_depth : lhs.tap_depth;
    for (Index r = 0; r < runs; ++r) {
      const unsigned char* row = walk.next();
      for (Index tap = 0; tap < lhs.taps; ++tap, out += padded_depth) {
        if constexpr (moves_once) copy_moved(row + lhs.tap_offsets[tap], length, flip, out);
        else if constexpr (!widens) copy_run(reinterpret_cast<const Element*>(row) + lhs.tap_offsets[tap], length, out);
        else if (lhs.is_signed) copy_run(reinterpret_cast<const std::int8_t*>(row) + lhs.tap_offsets[tap], length, out);
        else copy_run(row + lhs.tap_offsets[tap], length, out);
        for (Index d = length; d < padded_depth; ++d) out[d] = Element{};
      }
    }
  }

  static void copy_moved(const std::uint8_t* from, Index count, std::uint8_t flip, std::uint8_t* __restrict out) {
    for (Index d = 0; d < count; ++d) out[d] = from[d] ^ flip;
  }

  // Whole vectors, the last one overlapping the one before: runs are often short, and a loop of single elements at the end would
  // cost as much as the rest.
  template <class From>
  static void copy_run(const From* from, Index count, Element* __restrict out) {
    if (count >= 16) return copy_blocks<16>(from, count, out);
    if (count >= 8) return copy_blocks<8>(from, count, out);
    if (count >= 4) return copy_blocks<4>(from, count, out);
    for (Index d = 0; d < count; ++d) out[d] = from[d];
  }
  template <Index Block, class From>
  static void copy_blocks(const From* from, Index count, Element* __restrict out) {
    for (Index d = 0; d + Block <= count; d += Block) copy_block<Block>(from + d, out + d);
    if (count % Block != 0) copy_block<Block>(from + count - Block, out + count - Block);
  }
  template <Index Block, class From>
  [[gnu::always_inline]] static void copy_block(const From* from, Element* out) {
    typedef From Narrow [[gnu::vector_size(Block * sizeof(From))]];
    typedef Element Wide [[gnu::vector_size(Block * sizeof(Element))]];
    Narrow block;
    std::memcpy(&block, from, sizeof block);
    const Wide converted = __builtin_convertvector(block, Wide);
    std::memcpy(out, &converted, sizeof converted);
  }

  static bool leaves_array(const Lhs& lhs, RowWalk walk, Index rows, Index padded_depth) {
    if (lhs.end == nullptr || padded_depth == lhs.tap_depth) return false;
    const auto* end = static_cast<const unsigned char*>(lhs.end);
    for (Index r = 0; r < rows; ++r) {
      const auto* row = reinterpret_cast<const Element*>(walk.next());
      for (Index tap = 0; tap < lhs.taps; ++tap) {
        const auto* run = row + lhs.tap_offsets[tap];
        if (end - reinterpret_cast<const unsigned char*>(run) < padded_depth * static_cast<Index>(sizeof(Element))) return true;
      }
    }
    return false;
  }

  static constexpr bool starts_at_offsets = requires(const TileArgs<Kernel>& args, const std::int32_t* start) {
    Kernel::template run_from<1, 1>(args, start);
  };

  // A whole tile, which need not leave the registers between the kernel and its output.
  template <class Finisher>
  [[gnu::noinline]] static void finish_whole(const TileArgs<Kernel>& args, const Finisher& finish, Index row, Index col) {
    alignas(64) Acc tile[Kernel::rows * Kernel::cols];
    TileArgs<Kernel> own = args;
    own.tile = tile;
    Kernel::template run_from<Kernel::rows, vectors>(own, finish.column_offset() + col);
    finish.template started<Kernel::rows, Kernel::cols>(tile, row, col);
  }

  template <class Finisher>
  static void run_block(const Lhs& lhs, const Rhs& rhs, const Finisher& finish, Range rows, Range panels, const Gathered& gathered) {
    const Index padded_depth = rhs.depth_groups * Kernel::depth;
    const Index row_elements = lhs.taps * padded_depth;
    const std::uint32_t flip = applied_offset(Kernel::lhs_offset, lhs.is_signed) != 0 ? 0x80808080u : 0u;
    const RowWalk first_row(lhs, rows.begin, gathered.all ? 1 : sizeof(Element));
    if (gathered.all) gather(lhs, first_row, rows, padded_depth, gathered.rows, static_cast<std::uint8_t>(flip));

    const bool prefetches = (rows.end - rows.begin) * finish.row_bytes() > block_bytes;
    constexpr Index ahead = 2 * Kernel::rows;

    alignas(64) Acc tile[Kernel::rows * Kernel::cols];
    const Element* row_pointers[Kernel::rows];
    TileArgs<Kernel> args{row_pointers, lhs.tap_offsets, lhs.taps, rhs.depth_groups, nullptr, gathered.all ? 0u : flip, lhs.is_signed,
                          rhs.narrow,   rhs.levels,      tile};
    const Index panel_elements = rhs.taps * rhs.depth_groups * Kernel::depth * Kernel::cols / (rhs.levels == nullptr ? 1 : 2);
    const bool in_kernel = looks_up(rhs, rows.end - rows.begin);
    const Run* const runs = in_kernel ? code_variants() : variants.run;
    const Index tile_rows = in_kernel ? most_code_rows() : Index{Kernel::rows};
    for (Index panel = panels.begin; panel < panels.end; ++panel) {
      const Index col = panel * Kernel::cols;
      const Index cols = rhs.cols - col < Kernel::cols ? rhs.cols - col : Index{Kernel::cols};
      const Index panel_vectors = divide_up(cols, Kernel::lanes);
      args.panel = static_cast<const typename Kernel::Rhs*>(rhs.panels) + panel * panel_elements;
      if constexpr (TakesCodes<Kernel>) {
        if (rhs.levels != nullptr && !in_kernel) args.panel = expanded(rhs, args.panel, panel_vectors * Kernel::lanes * Kernel::depth);
      }
      RowWalk walk = first_row;
      for (Index row = rows.begin; row < rows.end; row += tile_rows) {
        const Index count = rows.end - row < tile_rows ? rows.end - row : tile_rows;
        args.tap_offsets = lhs.tap_offsets;
        if (gathered.all || leaves_array(lhs, walk, count, padded_depth)) {
          const Element* first = gathered.rows;
          if (gathered.all) {
            first += (row - rows.begin) * row_elements;
          } else {
            gather(lhs, walk, {row, row + count}, padded_depth, gathered.rows, 0);
            for (Index r = 0; r < count; ++r) walk.next();
          }
          for (Index r = 0; r < count; ++r) row_pointers[r] = first + r * row_elements;
          args.tap_offsets = gathered.tap_offsets;
        } else {
          for (Index r = 0; r < count; ++r) row_pointers[r] = reinterpret_cast<const Element*>(walk.next());
        }
        if (prefetches) finish.prefetch({row + ahead, row + ahead + Kernel::rows < rows.end ? row + ahead + Kernel::rows : rows.end}, col, cols);
        if constexpr (starts_at_offsets) {
          if (!in_kernel && count == Kernel::rows && cols == Kernel::cols && finish.has_no_terms()) {
            finish_whole(args, finish, row, col);
            continue;
          }
        }
        runs[(count - 1) * vectors + panel_vectors - 1](args);
        if (count == Kernel::rows && cols == Kernel::cols) finish(tile, Index{Kernel::cols}, {row, row + Kernel::rows}, {col, col + Kernel::cols});
        else finish(tile, panel_vectors * Kernel::lanes, {row, row + count}, {col, col + cols});
      }
    }
  }
};

}  // namespace
}  // namespace qkern::gemm
