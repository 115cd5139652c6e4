// The two ways to compute the pixels of a convolution, behind one interface: matrix products, one per group of channels
// (conv_groups.h), and, where each channel has a window of its own, depthwise kernels (conv_depthwise.h).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "gemm/finish.h"
#include "gemm/gemm.h"
#include "ops/channels.h"
#include "ops/conv_image.h"

namespace qkern::ops {

// weight [out, in / groups, kernel...] contiguous, in the caller's dtype: Int8, Uint8 or Float32. levels: none, or 16 that int8 weights
// consist of.
struct ConvWeights {
  const void* data;
  DType dtype;
  Index out_channels, in_channels, groups;
  Window window;
  std::span<const std::int8_t> levels = {};

  bool is_depthwise() const { return groups > 1 && groups == in_channels && groups == out_channels; }
};

// int8: w_zero 1 or `out` values, bias none or `out`, w_scale 1 or `out` (none where the result is Int32).
struct ConvQuantization {
  std::span<const float> w_scale;
  std::span<const std::int32_t> w_zero, bias;
  float x_scale;
  std::int32_t x_zero;

  std::int32_t w_zero_of(Index channel) const { return w_zero[w_zero.size() == 1 ? 0 : static_cast<std::size_t>(channel)]; }
};

// What the epilogue adds to and multiplies each column by; where the columns of a channel are is the route's to say.
class ChannelArrays {
 public:
  // int8: `offsets` of uint8 and of int8 activations, to which the bias is added. place(channel) -> column.
  template <class Place>
  ChannelArrays(std::vector<std::int32_t> offsets_uint8, std::vector<std::int32_t> offsets_int8, const ConvQuantization& quantization, Index channels,
                const LayerOutput& output, const Place& place)
      : offset_{std::move(offsets_uint8), std::move(offsets_int8)}, factor_(offset_[0].size()) {
    const std::vector<float> scales = quantization.w_scale.empty() ? std::vector<float>(static_cast<std::size_t>(channels))
                                                                   : multipliers(quantization.x_scale, quantization.w_scale, channels, output);
    are_below_1_ = are_below_1(scales);
    for (std::size_t c = 0; c < scales.size(); ++c) {
      const auto column = static_cast<std::size_t>(place(static_cast<Index>(c)));
      factor_[column] = scales[c];
      if (quantization.bias.empty()) continue;
      for (auto& offset : offset_) {
        offset[column] = static_cast<std::int32_t>(static_cast<std::uint32_t>(offset[column]) + static_cast<std::uint32_t>(quantization.bias[c]));
      }
    }
  }
  // float
  template <class Place>
  ChannelArrays(Index columns, std::span<const float> bias, const Place& place) : factor_(static_cast<std::size_t>(columns)) {
    for (std::size_t c = 0; c < bias.size(); ++c) factor_[static_cast<std::size_t>(place(static_cast<Index>(c)))] = bias[c];
  }

  void apply(gemm::Epilogue& epilogue, bool is_signed, Index first_column) const {
    if (offset_[0].empty()) {
      epilogue.bias = factor_.data() + first_column;
    } else {
      epilogue.multiplier = factor_.data() + first_column;
      epilogue.multipliers_below_1 = are_below_1_;
      epilogue.column_offset = offset_[is_signed].data() + first_column;
    }
  }

 private:
  std::vector<std::int32_t> offset_[2];  // none: float
  std::vector<float> factor_;            // multipliers; float: biases
  bool are_below_1_ = false;             // the multipliers
};

// How a route reads windows.
struct TapNeeds {
  bool merges_width;  // positions along the width are one tap
  Index multiple;     // the number of taps is rounded up to it: the first one again, times zero weights
  Index depth;        // elements of each
};

// The output pixels of one plane: row r of `lhs` gives row r of `epilogue.out`.
struct ConvPlane {
  const PreparedImage& image;
  const Window& window;
  gemm::Lhs lhs;
  gemm::Epilogue epilogue;
  Index rows;
  const gemm::CodeFinisher* finish;  // or null
};

class ConvRoute {
 public:
  virtual ~ConvRoute() = default;
  virtual ImageNeeds image_needs(DType dtype, const Window& window) const = 0;
  virtual TapNeeds tap_needs() const = 0;
  // Whether rows of a plane may come by themselves, their image likewise: where run() looks at `lhs` alone.
  virtual bool takes_bands() const = 0;
  // Of so many rows, in units of threading::worth_a_thread.
  virtual Index work(Index rows) const = 0;
  virtual void run(const ConvPlane& plane) const = 0;
  virtual std::size_t bytes() const = 0;
  // Of a packed weight.
  virtual int bits() const = 0;
  // What computes it, in a word or two, for reports.
  virtual std::string name() const = 0;
  // The tile of its matrix product; null where it is none.
  virtual const gemm::GemmKernels* tile() const = 0;
};

}  // namespace qkern::ops
