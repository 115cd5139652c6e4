// Depthwise convolution by pairs of image rows, for tiers that multiply pairs of int16 (vpmaddwd).
//
//   pair p, pixel x:     [c: row 2p, row 2p + 1]                          16 channels, widened once, in a ring that stays in L1
//   acc[x, c] = sum over pairs p, columns k of dot(pair p at x * stride + k * dilation, weights[p][k])
//
// Borders are put into the ring and nowhere else. A window whose first row is s lies in the pairs from s / 2 on. Its weights are arranged for even
// and for odd s, 0 where a pair reaches beyond the window. So each row is widened once, and what is left is a multiplication with an operand in
// memory and an addition.
#pragma once

#include "conv/kernels.h"
#include "conv/pair_window.h"
#include "gemm/epilogue.h"
#include "gemm/gemm.h"
#include "tensor/scratch.h"

namespace qkern::conv {
namespace {  // internal linkage: each tier compiles its own copy

//   Simd::row_channels, Simd::row_pixels   what dot_row_pairs computes at once
//   Simd::pair_rows(row0, row1, out)       interleaves and widens row_channels codes of two rows
//   Simd::dot_row_pairs<Pairs, Columns>(pairs, x, window, start, tile)   row_pixels of them, from `x` elements on; sums start at start[c]
template <class Simd>
concept MultipliesRowPairs = requires {
  Simd::row_pixels;
};

template <class Simd>
class DepthwiseRows {
 public:
  static void run(const ImageRows& image, const void* weights, const gemm::Epilogue& epilogue, gemm::Range rows) {
    const auto* w = static_cast<const std::int16_t*>(weights);
    gemm::with_finisher<Simd, std::int32_t>(epilogue, [&](const auto& finish) {
      if (image.is_signed) run_bands<std::int8_t>(image, w, finish, rows);
      else run_bands<std::uint8_t>(image, w, finish, rows);
    });
  }

 private:
  static constexpr Index channels = Simd::row_channels, pixel = 2 * channels;
  static constexpr Index band_bytes = Index{128} << 10;  // of the image; stays in L2 while all blocks of channels visit it

  // Widened pairs of rows: pair p is in slot p % slots.
  struct Ring {
    std::int16_t* data;
    Index slots, width, pitch;    // pixels of a pair, and elements from one to the next
    const std::int16_t** window;  // the pairs of a window
    std::int16_t* pair(Index p) const { return data + p % slots * pitch; }
  };

  static Ring make_ring(const ImageRows& image) {
    Ring ring{nullptr, image.kernel_height / 2 + 1, 0, 0, nullptr};
    ring.width = (image.out_width - 1) * image.stride_width + (image.kernel_width - 1) * image.dilation_width + 1;
    ring.pitch = (ring.width + Simd::row_pixels * image.stride_width) * pixel;  // a tile may reach past a short row
    const Index header = round_up(ring.slots * static_cast<Index>(sizeof(void*)), 64);
    const Index bytes = header + ring.slots * ring.pitch * static_cast<Index>(sizeof(std::int16_t));
    auto* memory = static_cast<unsigned char*>(tensor::scratch(tensor::Scratch::GatheredRows, static_cast<std::size_t>(bytes)));
    ring.window = reinterpret_cast<const std::int16_t**>(memory);
    ring.data = reinterpret_cast<std::int16_t*>(memory + header);
    return ring;
  }

  template <class T, class Finisher>
  static void run_bands(const ImageRows& image, const std::int16_t* weights, const Finisher& finish, gemm::Range rows) {
    const Ring ring = make_ring(image);
    const Index band_rows = band_bytes / (image.width * image.channels * image.stride_height + 1) + 8;
    const Index last_block = image.channels > channels ? image.channels - channels : 0;
    for (Index begin = rows.begin; begin < rows.end; begin += band_rows) {
      const Index end = begin + band_rows < rows.end ? begin + band_rows : rows.end;
      for (Index block = image.blocks.begin; block < image.blocks.end; ++block) {
        const Index c = block * channels;
        const std::int16_t* w = weights + block * 2 * ring.slots * image.kernel_width * pixel;
        run_block<T>(image, w, finish, {begin, end}, c < last_block ? c : last_block, ring);
      }
    }
  }

  // A block of channels of some rows of the output.
  template <class T, class Finisher>
  static void run_block(const ImageRows& image, const std::int16_t* weights, const Finisher& finish, gemm::Range rows, Index c, const Ring& ring) {
    PairWindow window{nullptr, 0, image.kernel_width, image.dilation_width * pixel, image.stride_width * pixel};
    Index ready = 0;  // pairs before this one are in the ring, or not needed any more
    for (Index row = rows.begin; row < rows.end; ++row) {
      const Index start = row * image.stride_height, first = start / 2, odd = start % 2;
      window.weights = weights + odd * ring.slots * image.kernel_width * pixel;
      window.pairs = (odd + image.kernel_height + 1) / 2;
      for (Index i = 0; i < window.pairs; ++i) {
        std::int16_t* pair = ring.pair(first + i);
        ring.window[i] = pair;
        if (first + i >= ready) widen_pair<T>(image, 2 * (first + i) - image.pad_top, c, ring.width, pair);
      }
      ready = first + window.pairs;
      // Unrolled for the usual windows: with so few taps the loops themselves cost as much as their work.
      const gemm::Range pixels{row * image.out_width, (row + 1) * image.out_width};
      if (image.channels < channels || image.out_width < Simd::row_pixels) finish_small_row(ring, window, finish, pixels, {c, image.channels});
      else if (image.kernel_height == 3 && image.kernel_width == 3) finish_row_of<2, 3>(image, ring, window, finish, pixels, c);
      else if (image.kernel_height == 5 && image.kernel_width == 5) finish_row_of<3, 5>(image, ring, window, finish, pixels, c);
      else finish_row<0, 0, 0>(ring, window, finish, pixels, c);
    }
  }

  // Image rows `row` and `row + 1`, with what borders them, to `width` pixels of the ring.
  template <class T>
  [[gnu::noinline]] static void widen_pair(const ImageRows& image, Index row, Index c, Index width, std::int16_t* out) {
    T fill[channels];
    for (T& code : fill) code = static_cast<T>(image.fill);
    const auto inside = [&](Index r) { return r >= 0 && r < image.height; };
    const Index row_step = image.width * image.channels;
    const T* row0 = inside(row) ? static_cast<const T*>(image.data) + row * row_step + c : fill;
    const T* row1 = inside(row + 1) ? static_cast<const T*>(image.data) + (row + 1) * row_step + c : fill;
    const Index step0 = inside(row) ? image.channels : 0, step1 = inside(row + 1) ? image.channels : 0;
    const Index left = image.pad_left < width ? image.pad_left : width, begin = left + image.width < width ? left + image.width : width;
    Index x = 0;
    for (; x < left; ++x, out += pixel) Simd::pair_rows(fill, fill, out);
#pragma GCC unroll 4
    for (; x < begin; ++x, row0 += step0, row1 += step1, out += pixel) Simd::pair_rows(row0, row1, out);
    for (; x < width; ++x, out += pixel) Simd::pair_rows(fill, fill, out);
  }

  // The usual strides are constants too: all pixels of a tile are at constant distances then.
  template <int Pairs, int Columns, class Finisher>
  static void finish_row_of(const ImageRows& image, const Ring& ring, const PairWindow& window, const Finisher& finish, gemm::Range pixels, Index c) {
    if (image.dilation_width == 1 && image.stride_width == 1) finish_row<Pairs, Columns, 1>(ring, window, finish, pixels, c);
    else if (image.dilation_width == 1 && image.stride_width == 2) finish_row<Pairs, Columns, 2>(ring, window, finish, pixels, c);
    else finish_row<Pairs, Columns, 0>(ring, window, finish, pixels, c);
  }

  // Out of line, so that its few addresses stay in registers. Tiles are whole, and finished without leaving registers; the last one
  // overlaps the one before.
  template <int Pairs, int Columns, int Stride, class Finisher>
  [[gnu::noinline]] static void finish_row(const Ring& ring, const PairWindow& row_window, const Finisher& finish, gemm::Range pixels, Index c) {
    constexpr Index at_once = Simd::row_pixels;
    PairWindow window = row_window;  // copies: stores of bytes may alias anything
    if constexpr (Stride > 0) window.column_step = pixel, window.pixel_step = Stride * pixel;
    const std::int16_t* own[Pairs > 0 ? Pairs : 1];
    for (Index i = 0; i < Pairs; ++i) own[i] = ring.window[i];
    const std::int16_t* const* pairs = Pairs > 0 ? own : ring.window;
    const Index count = pixels.end - pixels.begin;
    for (Index x = 0; x < count; x += at_once) {
      if (x + at_once > count) x = count - at_once;
      alignas(64) std::int32_t tile[at_once * channels];
      Simd::template dot_row_pairs<Pairs, Columns>(pairs, x * window.pixel_step, window, finish.column_offset() + c, tile);
      finish.template started<at_once, channels>(tile, pixels.begin + x, c);
    }
  }

  // Narrower than a tile, or of fewer channels than a block.
  template <class Finisher>
  [[gnu::noinline]] static void finish_small_row(const Ring& ring, const PairWindow& window, const Finisher& finish, gemm::Range pixels,
                                                 gemm::Range cols) {
    constexpr Index at_once = Simd::row_pixels;
    static constexpr std::int32_t zeros[channels] = {};
    if (cols.end - cols.begin > channels) cols.end = cols.begin + channels;
    for (Index p = pixels.begin; p < pixels.end; p += at_once) {
      alignas(64) std::int32_t tile[at_once * channels];
      Simd::template dot_row_pairs<0, 0>(ring.window, (p - pixels.begin) * window.pixel_step, window, zeros, tile);
      finish(tile, channels, {p, p + at_once < pixels.end ? p + at_once : pixels.end}, cols);
    }
  }
};

}  // namespace
}  // namespace qkern::conv
