// Depthwise convolution of float32, channels last, read in place:
//
//   acc[x, c] = sum over rows i, columns k of the window, in this order, of image(row i, x * stride + k * dilation)[c] * weights[i][k][c]
//
// each a chain of fused multiply-adds from 0, as in every float layer. A tile is some pixels of an output row by one vector of channels; the
// pixels' windows overlap, so that a row of the window is loaded once for all of them. What lies outside of the image is an address of zeros.
#pragma once

#include "conv/kernels.h"
#include "gemm/epilogue.h"
#include "tensor/scratch.h"

namespace qkern::conv {
namespace {  // internal linkage: each tier compiles its own copy

template <class Simd>
class DepthwiseFloat {
 public:
  static constexpr Index lanes = Simd::lanes;

  // weights [row][column][channels padded to lanes]. Fewer channels than lanes are read past their end.
  static void run(const ImageRows& image, const void* weights, const gemm::Epilogue& epilogue, gemm::Range rows) {
    const DepthwiseFloat kernel(image, static_cast<const float*>(weights), epilogue);
    const bool square = image.kernel_height == image.kernel_width && image.dilation_width == 1;
    if (square && image.kernel_width == 3 && image.stride_width == 1) kernel.template run_rows<3, 1>(rows);
    else if (square && image.kernel_width == 3 && image.stride_width == 2) kernel.template run_rows<3, 2>(rows);
    else if (square && image.kernel_width == 5 && image.stride_width == 1) kernel.template run_rows<5, 1>(rows);
    else if (square && image.kernel_width == 5 && image.stride_width == 2) kernel.template run_rows<5, 2>(rows);
    else kernel.run_any(rows);
  }

 private:
  using Floats = typename Simd::F32;
  using Columns = gemm::Columns<Simd, float, 1>;

  // Pixels of a tile. Sums, a row of the window and a vector of weights are in registers: 32 of them hold 7 pixels of a 5 x 5 window, 16 hold 4.
#if defined(__AVX512F__) || defined(__aarch64__)
  static constexpr int pixels = 7;
#else
  static constexpr int pixels = 4;
#endif

  DepthwiseFloat(const ImageRows& image, const float* weights, const gemm::Epilogue& epilogue)
      : image_(image), weights_(weights), padded_(round_up(image.channels, lanes)), epilogue_(epilogue), bounds_(epilogue), finish_(epilogue) {
    const Index zero_bytes = padded_ * static_cast<Index>(sizeof(float));
    const Index table_bytes = image.kernel_height * image.kernel_width * pixels * static_cast<Index>(sizeof(float*));
    auto* memory = static_cast<unsigned char*>(tensor::scratch(tensor::Scratch::GatheredRows, static_cast<std::size_t>(zero_bytes + table_bytes)));
    zeros_ = reinterpret_cast<float*>(memory);
    at_ = reinterpret_cast<const float**>(memory + zero_bytes);
    __builtin_memset(memory, 0, static_cast<std::size_t>(zero_bytes));
  }

  // Columns that the windows of a tile cover.
  template <int Size, int Stride>
  static constexpr int covered = (pixels - 1) * Stride + Size;

  // Where the columns of a row of the window are: side by side, or each somewhere.
  struct Dense {
    const float* const* rows;
    Index step;
    const float* operator()(int row, int column) const { return rows[row] + column * step; }
  };
  template <int Count>
  struct Scattered {
    const float* const (*at)[Count];
    const float* operator()(int row, int column) const { return at[row][column]; }
  };

  template <int Size, int Stride>
  void run_rows(gemm::Range rows) const {
    constexpr int count = covered<Size, Stride>;
    const float* at[Size][count];
    const float* starts[Size];
    for (Index row = rows.begin; row < rows.end; ++row) {
      const Index top = row * image_.stride_height - image_.pad_top;
      const bool all_rows = top >= 0 && top + (Size - 1) * image_.dilation_height < image_.height;
      for (Index x = 0; x < image_.out_width; x += pixels) {
        if (x + pixels > image_.out_width && x > 0) x = image_.out_width - pixels > 0 ? image_.out_width - pixels : 0;
        const Index left = x * Stride - image_.pad_left, first = row * image_.out_width + x;
        const Index valid = image_.out_width - x < pixels ? image_.out_width - x : pixels;
        if (all_rows && left >= 0 && left + count <= image_.width) {
          for (int i = 0; i < Size; ++i) starts[i] = pixel(top + i * image_.dilation_height, left);
          run_tile<Size, Stride>(Dense{starts, image_.channels}, first, valid);
        } else {
          for (int i = 0; i < Size; ++i) {
            for (int k = 0; k < count; ++k) at[i][k] = pixel(top + i * image_.dilation_height, left + k);
          }
          run_tile<Size, Stride>(Scattered<count>{at}, first, valid);
        }
      }
    }
  }

  const float* pixel(Index row, Index column) const {
    const bool inside = row >= 0 && row < image_.height && column >= 0 && column < image_.width;
    return inside ? static_cast<const float*>(image_.data) + (row * image_.width + column) * image_.channels : zeros_;
  }

  // All channels of `valid` pixels from `first` on; the last vector of channels overlaps the one before.
  template <int Size, int Stride, class Window>
  [[gnu::noinline]] void run_tile(const Window& window, Index first, Index valid) const {
    const Index channels = image_.channels, last = channels > lanes ? channels - lanes : 0;
    const auto bounds = bounds_;  // copies: stores may alias them
    const gemm::Epilogue epilogue = epilogue_;
    const Index padded = padded_;
    float* out = static_cast<float*>(epilogue.out) + first * epilogue.row_stride;
    for (Index block = 0; block < channels; block += lanes) {
      const Index c = block < last ? block : last;
      const float* w = weights_ + c;
      Floats sum[pixels] = {};
#pragma GCC unroll 5
      for (int i = 0; i < Size; ++i) {
        Floats row[covered<Size, Stride>];
#pragma GCC unroll 17
        for (int k = 0; k < covered<Size, Stride>; ++k) row[k] = gemm::load<Floats>(window(i, k) + c);
#pragma GCC unroll 5
        for (int k = 0; k < Size; ++k, w += padded) {
          const auto weight = gemm::load<Floats>(w);
#pragma GCC unroll 7
          for (int p = 0; p < pixels; ++p) sum[p] = Simd::multiply_add(row[p * Stride + k], weight, sum[p]);
        }
      }
      finish_tile(sum, bounds, epilogue, out, first, valid, c);
    }
  }

  [[gnu::always_inline]] void finish_tile(const Floats (&sum)[pixels], const gemm::Bounds<Simd>& bounds, const gemm::Epilogue& epilogue, float* out,
                                          Index first, Index valid, Index c) const {
    if (valid == pixels && image_.channels >= lanes) {
      const Columns columns(epilogue, c, float{});
#pragma GCC unroll 7
      for (int p = 0; p < pixels; ++p) {
        const Floats value = columns.result(bounds, sum[p], 0);
        __builtin_memcpy(out + p * epilogue.row_stride + c, &value, sizeof value);
      }
      return;
    }
    alignas(64) float tile[pixels * lanes];
    __builtin_memcpy(tile, sum, sizeof tile);
    finish_(tile, lanes, {first, first + valid}, {c, c + lanes < image_.channels ? c + lanes : image_.channels});
  }

  // Any window: an address for each of its positions and pixels of a tile.
  void run_any(gemm::Range rows) const {
    for (Index row = rows.begin; row < rows.end; ++row) {
      for (Index x = 0; x < image_.out_width; x += pixels) {
        const Index valid = image_.out_width - x < pixels ? image_.out_width - x : pixels;
        const float** at = at_;
        for (Index i = 0; i < image_.kernel_height; ++i) {
          const Index y = row * image_.stride_height - image_.pad_top + i * image_.dilation_height;
          for (Index k = 0; k < image_.kernel_width; ++k) {
            const Index left = k * image_.dilation_width - image_.pad_left;
            for (Index p = 0; p < pixels; ++p) *at++ = p < valid ? pixel(y, (x + p) * image_.stride_width + left) : zeros_;
          }
        }
        run_any_tile(row * image_.out_width + x, valid);
      }
    }
  }

  void run_any_tile(Index first, Index valid) const {
    const Index channels = image_.channels, last = channels > lanes ? channels - lanes : 0, taps = image_.kernel_height * image_.kernel_width;
    float* out = static_cast<float*>(epilogue_.out) + first * epilogue_.row_stride;
    for (Index block = 0; block < channels; block += lanes) {
      const Index c = block < last ? block : last;
      const float* w = weights_ + c;
      const float* const* at = at_;
      Floats sum[pixels] = {};
      for (Index tap = 0; tap < taps; ++tap, w += padded_, at += pixels) {
        const auto weight = gemm::load<Floats>(w);
#pragma GCC unroll 7
        for (int p = 0; p < pixels; ++p) sum[p] = Simd::multiply_add(gemm::load<Floats>(at[p] + c), weight, sum[p]);
      }
      finish_tile(sum, bounds_, epilogue_, out, first, valid, c);
    }
  }

  const ImageRows image_;
  const float* weights_;
  Index padded_;
  gemm::Epilogue epilogue_;
  gemm::Bounds<Simd> bounds_;
  gemm::TileFinisher<Simd, float, float> finish_;
  float* zeros_;      // a pixel outside of the image
  const float** at_;  // [window position][pixel], for windows of any size
};

}  // namespace
}  // namespace qkern::conv
