#include "ops/formulas.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/fixed_point.h"
#include "threading/parallel_for.h"

namespace qkern::ops {
namespace {

constexpr Index work_of_formula = 8;

// f(element, parameter) for each.
template <class F>
void for_each_element(const ParameterView& view, F f) {
  threading::parallel_for(view.outer * view.size, view.inner * work_of_formula, [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const Index first = row / view.size * view.outer_step + row % view.size / view.block * view.step;
      for (Index i = 0; i < view.inner; ++i) f(row * view.inner + i, static_cast<std::size_t>(first + i * view.inner_step));
    }
  });
}

// f(type) with a value of the integer type that codes of `dtype` lie in.
template <class F>
void with_type(DType dtype, F f) {
  switch (dtype) {
    case DType::Uint8:
    case DType::Uint4: return f(std::uint8_t{});
    case DType::Int16: return f(std::int16_t{});
    case DType::Uint16: return f(std::uint16_t{});
    case DType::Int32: return f(std::int32_t{});
    default: return f(std::int8_t{});
  }
}

// Limits and zero points are integers, so that limiting before rounding is the same as after it.
float limited(float value, std::int32_t zero_point, std::int32_t low, std::int32_t high) {
  return std::clamp(value, static_cast<float>(low - zero_point), static_cast<float>(high - zero_point));
}

}  // namespace

void quantize_any(const float* x, const ParameterView& view, std::span<const float> scale, std::span<const std::int32_t> zero_point, DType dtype,
                  Rounding rounding, void* y) {
  with_type(dtype, [&](auto type) {
    using Code = decltype(type);
    auto* out = static_cast<Code*>(y);
    const int mask = dtype == DType::Int4 ? 15 : -1;  // ml_dtypes keeps the upper half of the byte 0
    for_each_element(view, [&](Index i, std::size_t p) {
      if (rounding == Rounding::Reciprocal) {
        const float sum = std::fma(x[i], 1.0f / scale[p], static_cast<float>(zero_point[p]));
        const float code = std::isnan(sum) ? static_cast<float>(zero_point[p]) : limited(sum, 0, lowest(dtype), highest(dtype));
        out[i] = static_cast<Code>(static_cast<std::int32_t>(std::nearbyint(code)) & mask);
        return;
      }
      const float ratio = x[i] / scale[p];
      const float within = std::isnan(ratio) ? 0.0f : limited(ratio, zero_point[p], lowest(dtype), highest(dtype));
      const float rounded = rounding == Rounding::HalfAway ? std::round(within) : std::nearbyint(within);
      out[i] = static_cast<Code>((static_cast<std::int32_t>(rounded) + zero_point[p]) & mask);
    });
  });
}

void dequantize_any(const void* q, DType dtype, const ParameterView& view, std::span<const float> scale, std::span<const std::int32_t> zero_point,
                    float* y) {
  with_type(dtype, [&](auto type) {
    const auto* in = static_cast<const decltype(type)*>(q);
    for_each_element(view, [&](Index i, std::size_t p) {
      const std::int64_t code = dtype == DType::Int4 ? (in[i] & 15) - 2 * (in[i] & 8) : in[i];
      y[i] = static_cast<float>(code - zero_point[p]) * scale[p];
    });
  });
}

namespace {

template <class Round>
void requantize_by(const std::int32_t* acc, AxisView view, std::span<const std::int32_t> bias, std::int32_t zero_point, Codes clamp, DType dtype,
                   void* y, Round round) {
  const ParameterView each{view.outer, view.channels, view.inner, 1, 0, 1, 0};
  with_type(dtype, [&](auto type) {
    using Code = decltype(type);
    auto* out = static_cast<Code*>(y);
    for_each_element(each, [&](Index i, std::size_t channel) {
      const auto total = static_cast<std::int32_t>(static_cast<std::uint32_t>(acc[i]) + static_cast<std::uint32_t>(bias[channel]));
      const std::int64_t code = round(total, channel) + zero_point;
      out[i] = static_cast<Code>(std::clamp(code, std::int64_t{clamp.low}, std::int64_t{clamp.high}));
    });
  });
}

}  // namespace

void requantize_half_away(const std::int32_t* acc, AxisView view, std::span<const float> multiplier, std::span<const std::int32_t> bias,
                          std::int32_t zero_point, Codes clamp, DType dtype, void* y) {
  requantize_by(acc, view, bias, zero_point, clamp, dtype, y, [&](std::int32_t total, std::size_t channel) {
    return static_cast<std::int64_t>(std::round(limited(static_cast<float>(total) * multiplier[channel], zero_point, clamp.low, clamp.high)));
  });
}

void requantize_fixed_point(const std::int32_t* acc, AxisView view, std::span<const double> multiplier, std::span<const std::int32_t> bias,
                            std::int32_t zero_point, Codes clamp, DType dtype, Rounding rounding, void* y) {
  const auto requantize = [&]<class Multiplier>(const std::vector<Multiplier>& multipliers) {
    requantize_by(acc, view, bias, zero_point, clamp, dtype, y,
                  [&](std::int32_t total, std::size_t channel) { return multipliers[channel].times(total); });
  };
  if (rounding == Rounding::Tflite) requantize(std::vector<RoundedOnce>(multiplier.begin(), multiplier.end()));
  else requantize(std::vector<RoundedTwice>(multiplier.begin(), multiplier.end()));
}

}  // namespace qkern::ops
