// The loops behind elementwise::Kernels: written plainly, vectorised by the compiler with the flags of the tier that
// includes them. The tag is a type local to that tier's file, so that no instance is shared between tiers.
#pragma once

#include <limits>
#include <type_traits>

#include "elementwise/encode.h"
#include "elementwise/histogram.h"
#include "elementwise/kernels.h"
#include "elementwise/rounding.h"

namespace qkern::elementwise {
namespace {  // internal linkage: each tier compiles its own copy

template <class Tag>
struct Loops {
  template <class Y>
  static Y quantize_one(float x, float scale, std::int32_t zero_point) {
    constexpr std::int32_t lowest = std::numeric_limits<Y>::min(), highest = std::numeric_limits<Y>::max();
    const float value = x / scale;  // a true division: times 1/scale rounds differently
    const float number = value == value ? value : 0.0f;
    return static_cast<Y>(round_clamped(number, static_cast<float>(lowest - zero_point), static_cast<float>(highest - zero_point)) + zero_point);
  }
  template <class Y>
  static void quantize_to(const float* __restrict x, Index n, float scale, std::int32_t zero_point, Y* __restrict y) {
    for (Index i = 0; i < n; ++i) y[i] = quantize_one<Y>(x[i], scale, zero_point);
  }
  static void quantize(const float* x, Index n, float scale, std::int32_t zero_point, DType dtype, void* y) {
    if (dtype == DType::Int8) quantize_to(x, n, scale, zero_point, static_cast<std::int8_t*>(y));
    else quantize_to(x, n, scale, zero_point, static_cast<std::uint8_t*>(y));
  }

  template <class Y>
  static void quantize_each_to(const float* __restrict x, Index n, const float* __restrict scale, const std::int32_t* __restrict zero_point,
                               Y* __restrict y) {
    for (Index i = 0; i < n; ++i) y[i] = quantize_one<Y>(x[i], scale[i], zero_point[i]);
  }
  static void quantize_each(const float* x, Index n, const float* scale, const std::int32_t* zero_point, DType dtype, void* y) {
    if (dtype == DType::Int8) quantize_each_to(x, n, scale, zero_point, static_cast<std::int8_t*>(y));
    else quantize_each_to(x, n, scale, zero_point, static_cast<std::uint8_t*>(y));
  }

  static std::int32_t wrap(std::uint32_t value) { return static_cast<std::int32_t>(value); }

  // float(q - zero_point), rounded once. The difference of two int32 has 33 bits: a double holds it.
  template <class Q>
  static float difference(Q q, std::int32_t zero_point) {
    if constexpr (sizeof(Q) == 1) return static_cast<float>(q - zero_point);
    else return static_cast<float>(static_cast<double>(q) - static_cast<double>(zero_point));
  }
  template <class Q>
  static void dequantize_from(const Q* __restrict q, Index n, float scale, std::int32_t zero_point, float* __restrict y) {
    for (Index i = 0; i < n; ++i) y[i] = difference(q[i], zero_point) * scale;
  }
  static void dequantize(const void* q, DType dtype, Index n, float scale, std::int32_t zero_point, float* y) {
    switch (dtype) {
      case DType::Int8: return dequantize_from(static_cast<const std::int8_t*>(q), n, scale, zero_point, y);
      case DType::Uint8: return dequantize_from(static_cast<const std::uint8_t*>(q), n, scale, zero_point, y);
      default: return dequantize_from(static_cast<const std::int32_t*>(q), n, scale, zero_point, y);
    }
  }

  template <class Q>
  static void dequantize_each_from(const Q* __restrict q, Index n, const float* __restrict scale, const std::int32_t* __restrict zero_point,
                                   float* __restrict y) {
    for (Index i = 0; i < n; ++i) y[i] = difference(q[i], zero_point[i]) * scale[i];
  }
  static void dequantize_each(const void* q, DType dtype, Index n, const float* scale, const std::int32_t* zero_point, float* y) {
    switch (dtype) {
      case DType::Int8: return dequantize_each_from(static_cast<const std::int8_t*>(q), n, scale, zero_point, y);
      case DType::Uint8: return dequantize_each_from(static_cast<const std::uint8_t*>(q), n, scale, zero_point, y);
      default: return dequantize_each_from(static_cast<const std::int32_t*>(q), n, scale, zero_point, y);
    }
  }

  template <class Y>
  static void requantize_to(const std::int32_t* __restrict acc, Index n, float multiplier, std::int32_t bias, std::int32_t zero_point,
                            std::int32_t low, std::int32_t high, Y* __restrict y) {
    const float float_low = static_cast<float>(low - zero_point), float_high = static_cast<float>(high - zero_point);
    for (Index i = 0; i < n; ++i) {
      const std::int32_t sum = wrap(static_cast<std::uint32_t>(acc[i]) + static_cast<std::uint32_t>(bias));
      y[i] = static_cast<Y>(round_clamped(static_cast<float>(sum) * multiplier, float_low, float_high) + zero_point);
    }
  }
  static void requantize(const std::int32_t* acc, Index n, float multiplier, std::int32_t bias, std::int32_t zero_point, std::int32_t low,
                         std::int32_t high, DType dtype, void* y) {
    if (dtype == DType::Int8) requantize_to(acc, n, multiplier, bias, zero_point, low, high, static_cast<std::int8_t*>(y));
    else requantize_to(acc, n, multiplier, bias, zero_point, low, high, static_cast<std::uint8_t*>(y));
  }

  template <class Y>
  static void requantize_each_to(const std::int32_t* __restrict acc, Index n, const float* __restrict multiplier, const std::int32_t* __restrict bias,
                                 std::int32_t zero_point, std::int32_t low, std::int32_t high, Y* __restrict y) {
    const float float_low = static_cast<float>(low - zero_point), float_high = static_cast<float>(high - zero_point);
    for (Index i = 0; i < n; ++i) {
      const std::int32_t sum = wrap(static_cast<std::uint32_t>(acc[i]) + static_cast<std::uint32_t>(bias[i]));
      y[i] = static_cast<Y>(round_clamped(static_cast<float>(sum) * multiplier[i], float_low, float_high) + zero_point);
    }
  }
  static void requantize_each(const std::int32_t* acc, Index n, const float* multiplier, const std::int32_t* bias, std::int32_t zero_point,
                              std::int32_t low, std::int32_t high, DType dtype, void* y) {
    if (dtype == DType::Int8) requantize_each_to(acc, n, multiplier, bias, zero_point, low, high, static_cast<std::int8_t*>(y));
    else requantize_each_to(acc, n, multiplier, bias, zero_point, low, high, static_cast<std::uint8_t*>(y));
  }

  // low, high: of the parameters' codes, as distances from their zero point
  template <class A, class B>
  static std::int32_t sum_code(A a, B b, const AddParams& p, float low, float high) {
    const float left = static_cast<float>(a - p.a_zero_point) * p.a_scale;
    const float right = static_cast<float>(b - p.b_zero_point) * p.b_scale;
    const float value = (left + right) / p.y_scale;
    const float number = value == value ? value : 0.0f;
    return round_clamped(number, low, high) + p.y_zero_point;
  }

  // Four vectors at a time, where the tier makes codes of them (Simd::Codes); returns how many are done. y may be a.
  template <class A, class B, class Y>
  static Index add_vectors(const A* a, const B* b, Index n, const AddParams& p, Y* y) {
    using Simd = typename Tag::Simd;
    Index i = 0;
    if constexpr (requires { typename Simd::template Codes<Y>; }) {
      // Then every sum is a number that fits int32, as Codes needs it.
      if (!((255.0f * p.a_scale + 255.0f * p.b_scale) / p.y_scale < 2e9f)) return 0;
      constexpr Index lanes = Simd::lanes;
      const typename Simd::template Codes<Y> codes(p.y_zero_point, p.low, p.high);
      const auto value = [&](Index at) {
        const auto left = __builtin_convertvector(Simd::widen(a + at) - p.a_zero_point, typename Simd::F32) * p.a_scale;
        const auto right = __builtin_convertvector(Simd::widen(b + at) - p.b_zero_point, typename Simd::F32) * p.b_scale;
        return (left + right) / p.y_scale;
      };
      for (; i + 4 * lanes <= n; i += 4 * lanes) {
        codes.store(value(i), value(i + lanes), value(i + 2 * lanes), value(i + 3 * lanes), y + i, y + i + 2 * lanes);
      }
    }
    return i;
  }

  template <class A, class B, class Y>
  static void add_typed(const A* __restrict a, const B* __restrict b, Index n, const AddParams p,
                        Y* __restrict y) {  // p by value: nothing the loop writes can alias it
    const float low = static_cast<float>(p.low - p.y_zero_point), high = static_cast<float>(p.high - p.y_zero_point);
    for (Index i = add_vectors(a, b, n, p, y); i < n; ++i) y[i] = static_cast<Y>(sum_code(a[i], b[i], p, low, high));
  }
  template <class A, class B>
  static void add_pair(const A* a, const B* b, Index n, const AddParams& p, DType dtype, void* y) {
    if (dtype == DType::Int8) add_typed(a, b, n, p, static_cast<std::int8_t*>(y));
    else add_typed(a, b, n, p, static_cast<std::uint8_t*>(y));
  }
  static void add(const void* a, DType a_dtype, const void* b, DType b_dtype, Index n, const AddParams& p, DType dtype, void* y) {
    const auto* a8 = static_cast<const std::int8_t*>(a);
    const auto* au8 = static_cast<const std::uint8_t*>(a);
    const auto* b8 = static_cast<const std::int8_t*>(b);
    const auto* bu8 = static_cast<const std::uint8_t*>(b);
    if (a_dtype == DType::Int8) {
      if (b_dtype == DType::Int8) add_pair(a8, b8, n, p, dtype, y);
      else add_pair(a8, bu8, n, p, dtype, y);
    } else {
      if (b_dtype == DType::Int8) add_pair(au8, b8, n, p, dtype, y);
      else add_pair(au8, bu8, n, p, dtype, y);
    }
  }

  template <class B, class Y>
  static void add_to_typed(const B* __restrict b, Index n, const AddParams p, Y* __restrict y) {
    const float low = static_cast<float>(p.low - p.y_zero_point), high = static_cast<float>(p.high - p.y_zero_point);
    for (Index i = add_vectors(y, b, n, p, y); i < n; ++i) y[i] = static_cast<Y>(sum_code(y[i], b[i], p, low, high));
  }
  template <class B>
  static void add_to_any(const B* b, Index n, const AddParams& p, DType dtype, void* y) {
    if (dtype == DType::Int8) add_to_typed(b, n, p, static_cast<std::int8_t*>(y));
    else add_to_typed(b, n, p, static_cast<std::uint8_t*>(y));
  }
  static void add_to(const void* b, DType b_dtype, Index n, const AddParams& p, DType dtype, void* y) {
    if (b_dtype == DType::Int8) add_to_any(static_cast<const std::int8_t*>(b), n, p, dtype, y);
    else add_to_any(static_cast<const std::uint8_t*>(b), n, p, dtype, y);
  }

  static void lookup(const std::uint8_t* x, Index n, const std::uint8_t* __restrict table, std::uint8_t* y) {
    if constexpr (requires { Tag::lookup; }) return Tag::lookup(x, n, table, y);
    for (Index i = 0; i < n; ++i) y[i] = table[x[i]];
  }

  template <class T>
  static void max_into_typed(const T* __restrict x, Index n, T* __restrict y) {
    for (Index i = 0; i < n; ++i) y[i] = x[i] > y[i] || x[i] != x[i] ? x[i] : y[i];  // NaN wins, as np.maximum
  }
  static void max_into(const void* x, DType dtype, Index n, void* y) {
    switch (dtype) {
      case DType::Int8: return max_into_typed(static_cast<const std::int8_t*>(x), n, static_cast<std::int8_t*>(y));
      case DType::Uint8: return max_into_typed(static_cast<const std::uint8_t*>(x), n, static_cast<std::uint8_t*>(y));
      default: return max_into_typed(static_cast<const float*>(x), n, static_cast<float*>(y));
    }
  }

  template <class T, class Sum>
  static void add_into_typed(const T* __restrict x, Index n, Sum* __restrict y) {
    for (Index i = 0; i < n; ++i) {
      if constexpr (std::is_floating_point_v<Sum>) y[i] += x[i];
      else y[i] = wrap(static_cast<std::uint32_t>(y[i]) + static_cast<std::uint32_t>(x[i]));
    }
  }
  static void add_into(const void* x, DType dtype, Index n, void* y) {
    switch (dtype) {
      case DType::Int8: return add_into_typed(static_cast<const std::int8_t*>(x), n, static_cast<std::int32_t*>(y));
      case DType::Uint8: return add_into_typed(static_cast<const std::uint8_t*>(x), n, static_cast<std::int32_t*>(y));
      default: return add_into_typed(static_cast<const float*>(x), n, static_cast<float*>(y));
    }
  }
};

template <class Tag>
constexpr Kernels make_kernels() {
  using L = Loops<Tag>;
  using H = Histogram<typename Tag::Simd>;
  return {&L::quantize,        &L::quantize_each, &L::dequantize, &L::dequantize_each, &L::requantize,
          &L::requantize_each, &L::add,           &L::add_to,     &L::lookup,          &Encode<typename Tag::Simd>::run,
          &L::max_into,        &L::add_into,      &H::extremes,   &H::find_bins};
}

}  // namespace
}  // namespace qkern::elementwise
