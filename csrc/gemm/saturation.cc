#include "gemm/saturation.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <type_traits>

namespace qkern::gemm {
namespace {

constexpr int largest_sum = 128;

// Of `pairs` pairs, whose halves are at first[i * step] and second[i * step].
template <class Code>
bool all_safe(const Code* first, const Code* second, Index step, Index pairs) {
  constexpr int zero = std::is_signed_v<Code> ? 0 : 128;
  int largest = 0;
  for (Index i = 0; i < pairs; ++i) largest = std::max(largest, std::abs(first[i * step] + second[i * step] - 2 * zero));
  return largest <= largest_sum;
}

template <class Code>
bool is_safe(const RhsSource& source) {
  const auto* data = static_cast<const Code*>(source.data);
  const Index pairs = source.tap_depth / 2;
  for (Index tap = 0; tap < source.taps; ++tap) {
    const Code* from = data + tap * source.tap_depth * source.depth_stride;
    if (source.col_stride == 1) {
      for (Index i = 0; i < pairs; ++i, from += 2 * source.depth_stride) {
        if (!all_safe(from, from + source.depth_stride, 1, source.cols)) return false;
      }
    } else {
      for (Index c = 0; c < source.cols; ++c, from += source.col_stride) {
        if (!all_safe(from, from + source.depth_stride, 2 * source.depth_stride, pairs)) return false;
      }
    }
  }
  return true;
}

}  // namespace

bool is_saturation_safe(const RhsSource& source) { return source.is_signed ? is_safe<std::int8_t>(source) : is_safe<std::uint8_t>(source); }

}  // namespace qkern::gemm
