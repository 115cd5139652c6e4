// What a tier offers for arrays without structure: plain data across the border to the operators.
#pragma once

#include "tensor/types.h"

namespace qkern::elementwise {

struct AddParams {
  float a_scale, b_scale, y_scale;
  std::int32_t a_zero_point, b_zero_point, y_zero_point;
  std::int32_t low, high;  // codes
};

struct Range {
  float low, high;
};

inline constexpr std::int32_t histogram_bins = 2048;

struct Binned {
  Range range;
  Index zeros;
  bool outside;  // a number is in none of the bins, or is NaN: then `range` is not that of all
};

// Codes are int8 or uint8, as the DType beside the pointer says. Arrays are contiguous, `n` elements, aligned to their type.
// `*_each`: one parameter per element (a channels-last row).
struct Kernels {
  // clamp(round_half_even(x / scale) + zero_point) to the range of y; NaN -> zero_point
  void (*quantize)(const float* x, Index n, float scale, std::int32_t zero_point, DType dtype, void* y);
  void (*quantize_each)(const float* x, Index n, const float* scale, const std::int32_t* zero_point, DType dtype, void* y);
  // float(q - zero_point) * scale, the subtraction in integers
  void (*dequantize)(const void* q, DType dtype, Index n, float scale, std::int32_t zero_point, float* y);
  void (*dequantize_each)(const void* q, DType dtype, Index n, const float* scale, const std::int32_t* zero_point, float* y);
  // clamp(round_half_even(float(acc + bias) * multiplier) + zero_point, low, high)
  void (*requantize)(const std::int32_t* acc, Index n, float multiplier, std::int32_t bias, std::int32_t zero_point, std::int32_t low,
                     std::int32_t high, DType dtype, void* y);
  void (*requantize_each)(const std::int32_t* acc, Index n, const float* multiplier, const std::int32_t* bias, std::int32_t zero_point,
                          std::int32_t low, std::int32_t high, DType dtype, void* y);
  // quantize(dequantize(a) + dequantize(b)), each step rounded to float32
  void (*add)(const void* a, DType a_dtype, const void* b, DType b_dtype, Index n, const AddParams&, DType dtype, void* y);
  // the same with y's own codes as a
  void (*add_to)(const void* b, DType b_dtype, Index n, const AddParams&, DType dtype, void* y);
  // y[i] = table[byte x[i]]; y may be x
  void (*lookup)(const std::uint8_t* x, Index n, const std::uint8_t* table, std::uint8_t* y);
  // code of x[i] / scale[i * step] (elementwise/encode.h)
  void (*encode)(const float* x, Index n, const float* scale, Index step, const float* sums, std::uint8_t* y);
  // max(y, x), element by element
  void (*max_into)(const void* x, DType dtype, Index n, void* y);
  // y += x, codes into int32, floats into float
  void (*add_into)(const void* x, DType dtype, Index n, void* y);
  // lowest and highest: +inf and -inf of nothing, NaN twice where a number is NaN
  Range (*extremes)(const float* x, Index n);
  // bins[i] = floor(x * factor), mirrored below zero, minus `first` (see ops/histogram.h)
  Binned (*find_bins)(const float* x, Index n, float factor, std::int32_t first, std::uint32_t* bins);
};

}  // namespace qkern::elementwise
