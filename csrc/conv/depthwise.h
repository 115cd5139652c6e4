// Depthwise convolution, channels last: every channel has its own window.
//
//   acc[r, c] = sum over taps t of lhs(r, t)[c] * weights[t][c]
//
// One vector of channels of one output pixel at a time; the accumulators stay in registers over the taps. Weights are int16
// with their zero point already subtracted (at most 255 in magnitude, so a product fits in int32), or float.
#pragma once

#include <cstring>
#include <type_traits>

#include "gemm/epilogue.h"
#include "gemm/gemm.h"

namespace qkern::conv {
namespace {  // internal linkage: each tier compiles its own copy

// Bytes: Tag::vector_bytes is the width of the tier's registers.
template <class Tag>
struct Depthwise {
  static constexpr int lanes = Tag::vector_bytes / 4;
  static constexpr int blocks = 4;  // accumulators in flight, to cover the latency of multiply and add

  template <class T>
  using Vector [[gnu::vector_size(Tag::vector_bytes)]] = T;
  template <class T>
  using Narrow [[gnu::vector_size(lanes * sizeof(T))]] = T;

  template <class T>
  static auto load(const T* from) {
    if constexpr (std::is_same_v<T, float>) {
      Vector<float> value;
      std::memcpy(&value, from, sizeof value);
      return value;
    } else {
      Narrow<T> value;
      std::memcpy(&value, from, sizeof value);
      return __builtin_convertvector(value, Vector<std::int32_t>);
    }
  }

  template <class T, class Weight, class Acc, int Blocks>
  static void accumulate(const T* row, const Index* tap_offsets, Index taps, const Weight* weights, Index padded, Acc* out) {
    Vector<Acc> sum[Blocks] = {};
    for (Index tap = 0; tap < taps; ++tap) {
      const T* x = row + tap_offsets[tap];
      const Weight* w = weights + tap * padded;
#pragma GCC unroll 4
      for (int b = 0; b < Blocks; ++b) {
        if constexpr (std::is_same_v<Acc, float>) sum[b] = Tag::multiply_add(load(x + b * lanes), load(w + b * lanes), sum[b]);
        else sum[b] += load(x + b * lanes) * load(w + b * lanes);
      }
    }
    std::memcpy(out, sum, sizeof sum);
  }

  template <class T, class Weight, class Acc>
  static void run_typed(const gemm::Lhs& lhs, const Weight* weights, const gemm::Epilogue& epilogue, gemm::Range rows) {
    const Index channels = lhs.tap_depth, padded = round_up(channels, lanes);
    alignas(64) Acc tile[blocks * lanes];
    for (Index r = rows.begin; r < rows.end; ++r) {
      const T* row = static_cast<const T*>(lhs.data) + r / lhs.inner_rows * lhs.outer_stride + r % lhs.inner_rows * lhs.inner_stride;
      for (Index c = 0; c < channels;) {
        Index width = lanes;
        if (channels - c > (blocks - 1) * lanes) {
          width = blocks * lanes;
          accumulate<T, Weight, Acc, blocks>(row + c, lhs.tap_offsets, lhs.taps, weights + c, padded, tile);
        } else {
          accumulate<T, Weight, Acc, 1>(row + c, lhs.tap_offsets, lhs.taps, weights + c, padded, tile);
        }
        const Index end = c + width < channels ? c + width : channels;
        gemm::finish_tile<lanes>(epilogue, tile, {r, r + 1}, {c, end});
        c = end;
      }
    }
  }

  static void run_int8(const gemm::Lhs& lhs, const void* weights, const gemm::Epilogue& epilogue, gemm::Range rows) {
    const auto* w = static_cast<const std::int16_t*>(weights);
    if (lhs.is_signed) run_typed<std::int8_t, std::int16_t, std::int32_t>(lhs, w, epilogue, rows);
    else run_typed<std::uint8_t, std::int16_t, std::int32_t>(lhs, w, epilogue, rows);
  }
  static void run_float32(const gemm::Lhs& lhs, const void* weights, const gemm::Epilogue& epilogue, gemm::Range rows) {
    run_typed<float, float, float>(lhs, static_cast<const float*>(weights), epilogue, rows);
  }
};

}  // namespace
}  // namespace qkern::conv
