// Windows over images: the geometry that convolution and pooling share.
//
// Everything is three-dimensional and channels last here ([batch, depth, height, width, channels]); missing leading axes have
// size 1. A window never leaves the image, because its borders are copied once: then output pixels are rows, window positions are
// offsets, and a kernel needs to know no more (gemm::Lhs).
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "elementwise/kernels.h"
#include "gemm/gemm.h"

namespace qkern::ops {

using Sizes = std::array<Index, 3>;  // depth, height, width

enum class Layout { ChannelsFirst, ChannelsLast };

struct Window {
  Sizes kernel{1, 1, 1}, stride{1, 1, 1}, dilation{1, 1, 1}, pad_begin{0, 0, 0}, pad_end{0, 0, 0};
  Index positions() const { return kernel[0] * kernel[1] * kernel[2]; }
};

struct ImageShape {
  Index batch = 1, channels = 1;
  Sizes size{1, 1, 1};
  Index pixels() const { return size[0] * size[1] * size[2]; }
};

// Size of the output along each axis; negative where the window does not fit.
Sizes output_size(const ImageShape& image, const Window& window);

// An image whose windows can be read anywhere, channels last: the caller's own memory where that is possible, else a copy in
// scratch memory (valid until the thread prepares the next one).
struct PreparedImage {
  const void* data;
  const void* end;  // one past the last byte that may be read; nullptr: any overrun of 256 bytes is fine
  Sizes size;       // with borders
  Index channels;
  Index element_size;
};

// What an operator asks of it.
enum class Widen { No, Int8, Uint8 };
struct ImageNeeds {
  Sizes pad_begin, pad_end;  // the borders that are copied around it
  bool may_overrun;          // the kernels read past the last pixel
  Widen widen = Widen::No;   // the copy holds int16, for kernels that would otherwise widen each pixel once per window it is in
};

// For an image of float32: its codes are what is copied, as ops::quantize gives them.
struct ImageQuantizer {
  const elementwise::Kernels* kernels;
  float scale;
  std::int32_t zero_point;
  DType dtype;
};

// How an image becomes one: what its shape decides.
struct ImagePlan {
  enum class Road { InPlace, Turn, TurnAndCopy, Copy };
  ImageShape image;
  Layout layout;
  Index element_size;  // of the image, 1 or 4, or of its codes
  ImageNeeds needs;
  std::optional<ImageQuantizer> quantizer;
  Road road;
  PreparedImage prepared;  // without its addresses

  // Of the copy: rows of all images and depths, borders included, and the bytes of one.
  Index rows() const { return image.batch * prepared.size[0] * prepared.size[1]; }
  Index row_bytes() const { return prepared.size[2] * prepared.channels * prepared.element_size; }
};
ImagePlan plan_image(const ImageShape& image, Layout layout, Index element_size, const ImageNeeds& needs,
                     const std::optional<ImageQuantizer>& quantizer = {});

// `fill`: the element that borders hold.
PreparedImage prepare(const ImagePlan& plan, const void* x, const void* fill);

// Rows [begin, end), borders included, of one plane (batch x depth of a plan without borders along the depth) alone: where plan.road
// is Copy. `data` is the address of the first.
PreparedImage prepare_rows(const ImagePlan& plan, const void* x, const void* fill, Index plane, gemm::Range rows);

// Offsets, in elements, of the window positions from the first; with `merge_width`, positions along the width are one run.
std::vector<Index> tap_offsets(const PreparedImage& image, const Window& window, bool merge_width);

// The output pixels of one plane (batch x output depth) as rows of a product: row r is pixel (r / width, r % width). Taps are the
// caller's to add.
gemm::Lhs plane_lhs(const PreparedImage& image, const Window& window, const Sizes& out, Index plane, bool is_signed);

// channels first <-> channels last, contiguous, element_size 1 or 4.
void to_channels_last(const void* x, Index batch, Index channels, Index pixels, Index element_size, void* y);
void to_channels_first(const void* x, Index batch, Index channels, Index pixels, Index element_size, void* y);

}  // namespace qkern::ops
