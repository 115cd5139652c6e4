// What a layer knows about each output channel, and how its int32 accumulators leave it.
//
//   int8/uint8: y = clamp(round_half_even(float(acc + bias) * multiplier) + y_zero_point),
//               multiplier = (x_scale * w_scale) / y_scale, each step rounded to float32
//   float32:    y = float(acc + bias) * (x_scale * w_scale)
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "gemm/gemm.h"
#include "ops/requantize.h"

namespace qkern::ops {

struct LayerOutput {
  DType dtype = DType::Uint8;  // Int8, Uint8, Float32 or Int32
  float y_scale = 1;           // ignored for Float32 and Int32
  std::int32_t y_zero_point = 0;
  Codes clamp{0, 255};
};

// Multipliers of `channels` channels from 1 or `channels` weight scales.
inline std::vector<float> multipliers(float x_scale, std::span<const float> w_scale, Index channels, const LayerOutput& output) {
  std::vector<float> values(static_cast<std::size_t>(channels));
  for (std::size_t c = 0; c < values.size(); ++c) {
    const float product = x_scale * w_scale[w_scale.size() == 1 ? 0 : c];
    values[c] = output.dtype == DType::Float32 ? product : product / output.y_scale;
  }
  return values;
}

// gemm::Epilogue::multipliers_below_1, of multipliers that are all > 0
inline bool are_below_1(std::span<const float> multipliers) {
  return std::all_of(multipliers.begin(), multipliers.end(), [](float multiplier) { return multiplier < 1; });
}

// An epilogue for this output; the caller adds where it goes and the per-channel arrays.
inline gemm::Epilogue make_epilogue(const LayerOutput& output) {
  gemm::Epilogue epilogue;
  epilogue.kind = output.dtype;
  epilogue.zero_point = output.y_zero_point;
  epilogue.low = output.clamp.low;
  epilogue.high = output.clamp.high;
  return epilogue;
}

}  // namespace qkern::ops
