// The level nearest to each number, of int8 levels in ascending order. Levels l < m have their middle at (l + m) / 2, so that a number v is
// nearer to m where 2 v is above the integer l + m: nothing is computed that could be rounded but v = x / scale.
#pragma once

#include <cstring>

#include "tensor/types.h"

namespace qkern::elementwise {
namespace {  // internal linkage: each tier compiles its own copy

template <class Simd>
struct Encode {
  using Float = typename Simd::F32;
  using Int = typename Simd::I32;
  static constexpr int lanes = Simd::lanes;

  // y[i] = code of x[i] / scale[i * step]. sums: of neighbouring levels, 15 of them, or null for all of int8. step: 0 or 1.
  static void run(const float* x, Index n, const float* scale, Index step, const float* sums, std::uint8_t* y) {
    if (sums == nullptr) run_all(x, n, scale, step, y, [](Float doubled) { return code_of_all(doubled); });
    else run_all(x, n, scale, step, y, [sums](Float doubled) { return code_of_16(doubled, sums); });
  }

 private:
  [[gnu::always_inline]] static Int code_of_16(Float doubled, const float* sums) {
    Int code{};
#pragma GCC unroll 15
    for (int k = 0; k < 15; ++k) code -= Int(doubled > sums[k]);  // a comparison that holds is -1
    return code;
  }
  // The sum of levels l and l + 1 is 2 l + 1: of ceil(2 v) = 2 u or 2 u + 1 the levels up to u - 1 are passed.
  [[gnu::always_inline]] static Int code_of_all(Float doubled) {
    doubled = doubled > -256.0f ? doubled : Float{} - 256.0f;
    doubled = doubled < 255.0f ? doubled : Float{} + 255.0f;
    Int above = __builtin_convertvector(doubled, Int);
    above -= Int(__builtin_convertvector(above, Float) < doubled);
    return (above >> 1) + 128;
  }

  template <class CodeOf>
  [[gnu::always_inline]] static void run_all(const float* x, Index n, const float* scale, Index step, std::uint8_t* y, const CodeOf& code_of) {
    Index i = 0;
    for (; i + lanes <= n; i += lanes) {
      Simd::store_bytes(code_of(doubled_quotients(load(x + i), step == 0 ? Float{} + *scale : load(scale + i))), y + i);
    }
    if (i == n) return;
    float numbers[lanes] = {}, scales[lanes];
    std::uint8_t codes[lanes];
    for (int lane = 0; lane < lanes; ++lane) scales[lane] = 1;
    for (Index rest = i; rest < n; ++rest) numbers[rest - i] = x[rest], scales[rest - i] = scale[rest * step];
    Simd::store_bytes(code_of(doubled_quotients(load(numbers), load(scales))), codes);
    std::memcpy(y + i, codes, static_cast<std::size_t>(n - i));
  }
  [[gnu::always_inline]] static Float load(const float* from) {
    Float vector;
    std::memcpy(&vector, from, sizeof vector);
    return vector;
  }
  // 2 x / scale; NaN counts as 0.
  [[gnu::always_inline]] static Float doubled_quotients(Float x, Float scale) {
    const Float quotient = x / scale;
    const Float number = quotient == quotient ? quotient : Float{};
    return number + number;
  }
};

}  // namespace
}  // namespace qkern::elementwise
