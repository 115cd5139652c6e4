// A block of tiles by exact integer Winograd (conv/winograd_form.h), the same for every tier:
//
//   for each tile                        V[position][tile][channel] = B^T x B, int16
//   for each panel of columns
//     for each position                  M[tile][column] = V[position] * U[position], int32: the tier's kernel
//     for each tile                      y = A'^T M A', exact division, epilogue
//
// The caller chooses blocks such that V, M and a panel stay in L2. The image is read in place; the part of a tile that lies outside of it, or
// channels that don't fill a vector, go through a copy of the tile.
#pragma once

#include <cstring>
#include <type_traits>
#include <utility>

#include "conv/kernels.h"
#include "conv/winograd_form.h"
#include "gemm/epilogue.h"
#include "tensor/scratch.h"

namespace qkern::conv {

// What a tier writes: products of int16.
//
//   tile[r][c] = sum over groups g, j < depth of lhs[r * row_stride + g * depth + j] * panel[g][c][j]      modulo 2^32
//
// rows x cols: the largest tile, in whole vectors of `lanes` columns. place(c, j): where a panel has element j of column c of a group.
template <class K>
concept Int16Kernel = requires(const std::int16_t* values, Index count, std::int32_t* tile) {
  requires K::rows >
  0 && K::lanes > 0 && K::cols % K::lanes == 0 && K::depth > 0;
  requires K::lanes % K::Simd::lanes == 0;
  { K::template run<K::rows, K::cols / K::lanes>(values, count, values, count, tile) } -> std::same_as<void>;
  { K::place(0, 0) } -> std::same_as<Index>;
};

namespace {  // internal linkage: each tier compiles its own copy

// Any processor: the tier `scalar`.
template <class Simd_, int Rows_, int Cols_>
struct ScalarInt16Kernel {
  using Simd = Simd_;
  static constexpr int rows = Rows_, cols = Cols_, lanes = Cols_, depth = 2;

  template <int Rows, int Vectors>
  static void run(const std::int16_t* lhs, Index row_stride, const std::int16_t* panel, Index groups, std::int32_t* tile) {
    std::uint32_t sum[Rows][cols] = {};
    for (Index g = 0; g < groups; ++g, lhs += depth, panel += cols * depth) {
      for (int r = 0; r < Rows; ++r) {
        const std::int32_t a = lhs[r * row_stride], b = lhs[r * row_stride + 1];
        for (int c = 0; c < cols; ++c) sum[r][c] += static_cast<std::uint32_t>(a * panel[c] + b * panel[cols + c]);
      }
    }
    std::memcpy(tile, sum, sizeof sum);
  }
  static constexpr Index place(Index col, Index j) { return j * cols + col; }
};

template <Int16Kernel Kernel, class Form>
class Winograd {
 public:
  static constexpr Index positions = Form::positions * Form::positions;

  static void pack(const void* weights, bool is_signed, Index cols, Index depth, std::int16_t* panels) {
    if (is_signed) pack_panels(static_cast<const std::int8_t*>(weights), cols, depth, panels);
    else pack_panels(static_cast<const std::uint8_t*>(weights), cols, depth, panels);
  }

  static void run(const WinogradImage& image, const WinogradWeights& weights, const gemm::Epilogue& epilogue, gemm::Range tiles, gemm::Range panels) {
    const Block block = make_block(image, tiles);
    if (image.is_signed) transform_input<std::int8_t>(image, block);
    else transform_input<std::uint8_t>(image, block);
    gemm::with_finisher<Simd, std::int32_t>(epilogue, [&](const auto& finish) {
      const std::int16_t* panel = weights.panels + panels.begin * positions * block.groups * Kernel::depth * Kernel::cols;
      for (Index p = panels.begin; p < panels.end; ++p) {
        const Index col = p * Kernel::cols, rest = weights.cols - col, cols = rest < Kernel::cols ? rest : Index{Kernel::cols};
        const Index vectors = divide_up(cols, Kernel::lanes);
        multiply(block, panel, vectors);
        panel += positions * block.groups * Kernel::depth * vectors * Kernel::lanes;
        finish_tiles(image, block, vectors * Kernel::lanes, {col, col + cols}, finish);
      }
    });
  }

 private:
  using Simd = typename Kernel::Simd;
  using U32 = typename Simd::U32;
  using I32 = typename Simd::I32;
  static constexpr int out = Form::tile, in = Form::positions, vectors = Kernel::cols / Kernel::lanes;
  static constexpr Index vector_bytes = sizeof(U32), short_bytes = 16;

  // Where a tile is.
  struct Place {
    Index plane, top, left;  // of its outputs
  };
  class Walk {
   public:
    Walk(const WinogradImage& image, Index tile) : down_(divide_up(image.out_height, out)), across_(divide_up(image.out_width, out)) {
      const Index row = tile / across_;
      at_ = {row / down_, row % down_ * out, tile % across_ * out};
    }
    Place next() {
      const Place place = at_;
      if ((at_.left += out) == across_ * out) {
        at_.left = 0;
        if ((at_.top += out) == down_ * out) at_.top = 0, ++at_.plane;
      }
      return place;
    }

   private:
    Index down_, across_;
    Place at_;
  };

  struct Block {
    gemm::Range tiles;
    Index count, groups;             // tiles; depth groups
    Index row_stride, input_stride;  // elements of V from tile to tile and from position to position
    std::int16_t* input;
    std::int32_t* products;  // [position][tile][column]
  };

  static Block make_block(const WinogradImage& image, gemm::Range tiles) {
    Block block{tiles, tiles.end - tiles.begin, divide_up(image.depth, Kernel::depth), 0, 0, nullptr, nullptr};
    constexpr Index least = short_bytes / 2;
    block.row_stride = block.groups * Kernel::depth < least ? least : block.groups * Kernel::depth;
    block.input_stride = odd_lines<std::int16_t>(block.count * block.row_stride);
    const Index products = positions * odd_lines<std::int32_t>(block.count * Kernel::cols);
    block.input =
        static_cast<std::int16_t*>(tensor::scratch(tensor::Scratch::WinogradInput, static_cast<std::size_t>(positions * block.input_stride) * 2));
    block.products = static_cast<std::int32_t*>(tensor::scratch(tensor::Scratch::WinogradProducts, static_cast<std::size_t>(products) * 4));
    return block;
  }

  // `elements`, or a few more: an odd number of cache lines, so that a tile's 36 positions don't meet in one set of the cache.
  template <class T>
  static Index odd_lines(Index elements) {
    constexpr Index line = 64 / sizeof(T);
    return (divide_up(elements, line) | 1) * line;
  }

  // Pixels of a tile's input: at(row, column) is `data + row * row_step + column * column_step`.
  template <class T>
  struct Patch {
    const T* data;
    Index row_step, column_step;
  };

  template <class T>
  static void transform_input(const WinogradImage& image, const Block& block) {
    if (image.depth >= vector_bytes / 2) transform_tiles<T, vector_bytes>(image, block);
    else transform_tiles<T, short_bytes>(image, block);
  }

  template <class T, Index Bytes>
  static void transform_tiles(const WinogradImage& image, const Block& block) {
    constexpr Index channels = Bytes / 2;
    alignas(64) T copy[positions * channels];
    const Index row_step = image.width * image.channels;
    Walk walk(image, block.tiles.begin);
    for (Index tile = 0; tile < block.count; ++tile) {
      const Place place = walk.next();
      const Index top = place.top - image.pad_top, left = place.left - image.pad_left;
      const T* from = static_cast<const T*>(image.data) + ((place.plane * image.height + top) * image.width + left) * image.channels;
      std::int16_t* to = block.input + tile * block.row_stride;
      const bool inside = top >= 0 && left >= 0 && top + in <= image.height && left + in <= image.width;
      if (inside && image.depth >= channels) {
        // The last vector overlaps the one before.
        for (Index c = 0; c < image.depth; c += channels) {
          const Index channel = c + channels <= image.depth ? c : image.depth - channels;
          transform<T, Bytes>({from + channel, row_step, image.channels}, to + channel, block.input_stride);
        }
        continue;
      }
      std::memset(copy, image.fill, sizeof copy);
      const gemm::Range rows = overlap(top, image.height), columns = overlap(left, image.width);
      for (Index c = 0; c < image.depth; c += channels) {
        const Index channel = c + channels <= image.depth || image.depth < channels ? c : image.depth - channels;
        for (Index r = rows.begin; r < rows.end; ++r) {
          const T* pixel = from + r * row_step + columns.begin * image.channels + channel;
          for (Index k = columns.begin; k < columns.end; ++k, pixel += image.channels) {
            T* const place_of = copy + (r * in + k) * channels;
            if (image.depth >= channels) std::memcpy(place_of, pixel, channels);
            else
              for (Index i = 0; i < image.depth; ++i) place_of[i] = pixel[i];
          }
        }
        transform<T, Bytes>({copy, in * channels, channels}, to + channel, block.input_stride);
      }
    }
  }

  // Which rows (columns) of a tile's input that starts at `first` are in an image of `size`.
  static gemm::Range overlap(Index first, Index size) {
    const Index begin = first < 0 ? -first : 0, end = size - first < in ? size - first : Index{in};
    return {begin, end < begin ? begin : end};
  }

  // Codes as int16. Of eight, GCC would convert one by one.
  template <class Words, class T>
  [[gnu::always_inline]] static Words widened(const T* from) {
    if constexpr (sizeof(Words) == short_bytes) {
      typedef std::uint8_t Bytes16 [[gnu::vector_size(16)]];
      typedef std::uint64_t Halves [[gnu::vector_size(16)]];
      typedef std::int16_t Signed [[gnu::vector_size(16)]];
      std::uint64_t eight;
      std::memcpy(&eight, from, sizeof eight);
      const auto codes = reinterpret_cast<Bytes16>(Halves{eight, 0});
      const Bytes16 zero{};
      if constexpr (std::is_unsigned_v<T>) {
        return reinterpret_cast<Words>(__builtin_shufflevector(codes, zero, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
      } else {
        const auto high = reinterpret_cast<Signed>(__builtin_shufflevector(zero, codes, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
        return reinterpret_cast<Words>(high >> 8);
      }
    } else {
      typedef T Codes [[gnu::vector_size(sizeof(Words) / 2)]];
      return reinterpret_cast<Words>(__builtin_convertvector(gemm::load<Codes>(from), Words));
    }
  }

  // B^T x B of Bytes / 2 channels.
  template <class T, Index Bytes>
  [[gnu::always_inline]] static void transform(const Patch<T>& x, std::int16_t* to, Index stride) {
    typedef std::uint16_t Words [[gnu::vector_size(Bytes)]];
    Words rows[in][in];
    const T* row = x.data;
#pragma GCC unroll 6
    for (int r = 0; r < in; ++r, row = next(row, x.row_step)) {
      Words pixels[in];
      const T* pixel = row;
#pragma GCC unroll 6
      for (int k = 0; k < in; ++k, pixel = next(pixel, x.column_step)) pixels[k] = widened<Words>(pixel);
      Form::input(pixels, rows[r]);
    }
#pragma GCC unroll 6
    for (int k = 0; k < in; ++k, to = next(to, stride)) {
      Words column[in], done[in];
#pragma GCC unroll 6
      for (int r = 0; r < in; ++r) column[r] = rows[r][k];
      Form::input(column, done);
      std::int16_t* position = to;
#pragma GCC unroll 6
      for (int r = 0; r < in; ++r, position = next(position, in * stride)) std::memcpy(position, &done[r], sizeof(Words));
    }
  }

  // `at + step`, made from `at` where it is needed: of the addresses of all positions GCC would keep one each on the stack.
  template <class T>
  [[gnu::always_inline]] static T* next(T* at, Index step) {
    at += step;
    asm("" : "+r"(at));
    return at;
  }

  using Run = void (*)(const std::int16_t*, Index, const std::int16_t*, Index, std::int32_t*);
  template <std::size_t... I>
  static constexpr auto make_variants(std::index_sequence<I...>) {
    struct Variants {
      Run run[Kernel::rows * vectors];
    };
    return Variants{{&Kernel::template run<static_cast<int>(I) / vectors + 1, static_cast<int>(I) % vectors + 1>...}};
  }
  static constexpr auto variants = make_variants(std::make_index_sequence<Kernel::rows * vectors>{});

  static void multiply(const Block& block, const std::int16_t* panel, Index panel_vectors) {
    const Index cols = panel_vectors * Kernel::lanes, panel_elements = block.groups * Kernel::depth * cols;
    const Index rows = divide_up(block.count, divide_up(block.count, Kernel::rows));  // of as many tiles as there are, all about as high
    const Index stride = odd_lines<std::int32_t>(block.count * cols);
    for (Index position = 0; position < positions; ++position, panel += panel_elements) {
      const std::int16_t* lhs = block.input + position * block.input_stride;
      std::int32_t* products = block.products + position * stride;
      for (Index tile = 0; tile < block.count; tile += rows, lhs += rows * block.row_stride) {
        const Index height = block.count - tile < rows ? block.count - tile : rows;
        variants.run[(height - 1) * vectors + panel_vectors - 1](lhs, block.row_stride, panel, block.groups, products);
        products += height * cols;
      }
    }
  }

  template <class Finisher>
  static void finish_tiles(const WinogradImage& image, const Block& block, Index width, gemm::Range cols, const Finisher& finish) {
    alignas(64) std::int32_t pixels[out * out * Kernel::cols];
    const Index stride = odd_lines<std::int32_t>(block.count * width);
    Walk walk(image, block.tiles.begin);
    for (Index tile = 0; tile < block.count; ++tile) {
      const Place place = walk.next();
      for (Index c = 0; c < width; c += Simd::lanes) transform_output(block.products + tile * width + c, stride, pixels + c);
      const Index rows = image.out_height - place.top < out ? image.out_height - place.top : Index{out};
      const Index columns = image.out_width - place.left < out ? image.out_width - place.left : Index{out};
      for (Index r = 0; r < rows; ++r) {
        const Index first = (place.plane * image.out_height + place.top + r) * image.out_width + place.left;
        finish(pixels + r * out * Kernel::cols, Kernel::cols, {first, first + columns}, cols);
      }
    }
  }

  // A'^T m A', divided: the sums of a tile's pixels for a vector of columns.
  [[gnu::always_inline]] static void transform_output(const std::int32_t* m, Index stride, std::int32_t* to) {
    U32 columns[out][in];
#pragma GCC unroll 6
    for (int k = 0; k < in; ++k, m = next(m, stride)) {
      U32 column[in], done[out];
      const std::int32_t* position = m;
#pragma GCC unroll 6
      for (int r = 0; r < in; ++r, position = next(position, in * stride)) column[r] = gemm::load<U32>(position);
      Form::output(column, done);
#pragma GCC unroll 4
      for (int r = 0; r < out; ++r) columns[r][k] = done[r];
    }
#pragma GCC unroll 4
    for (int r = 0; r < out; ++r) {
      U32 done[out];
      Form::output(columns[r], done);
#pragma GCC unroll 4
      for (int k = 0; k < out; ++k) {
        const I32 sum = I32(Form::inverse == 1 ? done[k] : done[k] * Form::inverse) >> (Form::shift[r] + Form::shift[k]);
        std::memcpy(to + (r * out + k) * Kernel::cols, &sum, sizeof sum);
      }
    }
  }

  template <class T>
  static void pack_panels(const T* weights, Index cols, Index depth, std::int16_t* panels) {
    const Index groups = divide_up(depth, Kernel::depth);
    for (Index col = 0; col < cols; col += Kernel::cols) {
      const Index valid = cols - col < Kernel::cols ? cols - col : Index{Kernel::cols}, lanes = round_up(valid, Kernel::lanes);
      const Index group_elements = lanes * Kernel::depth;
      for (Index d = 0; d < groups * Kernel::depth; ++d) {
        std::int16_t taps[9][Kernel::cols] = {};
        for (Index c = 0; d < depth && c < valid; ++c) {
          for (int t = 0; t < 9; ++t) taps[t][c] = weights[((col + c) * depth + d) * 9 + t];
        }
        pack_channel(taps, lanes, panels + d / Kernel::depth * group_elements, groups * group_elements, d % Kernel::depth);
      }
      panels += positions * groups * group_elements;
    }
  }
  // G g G^T of one input channel and a panel of columns, to its places in each position.
  static void pack_channel(const std::int16_t (&taps)[9][Kernel::cols], Index lanes, std::int16_t* to, Index stride, Index j) {
    std::int16_t rows[in][3][Kernel::cols], done[Kernel::cols];
    for (int i = 0; i < in; ++i) {
      for (int t = 0; t < 3; ++t) combine(Form::weights[i], taps[t], taps[3 + t], taps[6 + t], rows[i][t]);
    }
    for (int i = 0; i < in; ++i) {
      for (int k = 0; k < in; ++k, to += stride) {
        combine(Form::weights[k], rows[i][0], rows[i][1], rows[i][2], done);
        for (Index c = 0; c < lanes; ++c) to[Kernel::place(c, j)] = done[c];
      }
    }
  }
  static void combine(const std::int16_t (&factor)[3], const std::int16_t* a, const std::int16_t* b, const std::int16_t* c, std::int16_t* to) {
    for (Index i = 0; i < Kernel::cols; ++i) to[i] = static_cast<std::int16_t>(factor[0] * a[i] + factor[1] * b[i] + factor[2] * c[i]);
  }
};

template <Int16Kernel Kernel, class Form>
constexpr WinogradKernel make_winograd_form() {
  int most = 0;
  for (const int shift : Form::shift) most = shift > most ? shift : most;
  using Blocks = Winograd<Kernel, Form>;
  return {Form::tile, Form::positions, std::int64_t{1} << (31 - 2 * most), &Blocks::pack, &Blocks::run};
}

template <Int16Kernel Kernel>
constexpr WinogradKernels make_winograd_kernels(const WinogradCosts* costs) {
  return {Kernel::rows,
          Kernel::cols,
          Kernel::lanes,
          Kernel::depth,
          Index{2} * Kernel::Simd::lanes,
          costs,
          {make_winograd_form<Kernel, WinogradForm<2>>(), make_winograd_form<Kernel, WinogradForm<4>>()}};
}

}  // namespace
}  // namespace qkern::conv
