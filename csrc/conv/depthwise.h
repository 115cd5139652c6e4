// Depthwise convolution, channels last: every channel has its own window.
//
//   acc[r, c] = sum over taps t of lhs(r, t)[c] * weights[t][c]
//
// One block of channels of one output pixel at a time; the accumulators stay in registers over the taps.
#pragma once

#include <type_traits>

#include "gemm/epilogue.h"
#include "gemm/gemm.h"

namespace qkern::conv {
namespace {  // internal linkage: each tier compiles its own copy

// Any weights: int16 with their zero point already subtracted (at most 255 in magnitude, so that a product fits in int32), or
// float. One multiply and add per tap.
template <class Simd>
struct Depthwise {
  static constexpr Index lanes = Simd::lanes;
  static constexpr int blocks = 4;  // accumulators in flight, to cover the latency of multiply and add

  template <class T>
  [[gnu::always_inline]] static auto load(const T* from) {
    if constexpr (std::is_same_v<T, float>) return gemm::load<typename Simd::F32>(from);
    else return Simd::widen(from);
  }

  template <class T, class Weight, class Acc, int Blocks>
  static void accumulate(const T* row, const Index* tap_offsets, Index taps, const Weight* weights, Index padded, Acc* out) {
    std::conditional_t<std::is_same_v<Acc, float>, typename Simd::F32, typename Simd::I32> sum[Blocks] = {};
    for (Index tap = 0; tap < taps; ++tap) {
      const T* x = row + tap_offsets[tap];
      const Weight* w = weights + tap * padded;
      if constexpr (Blocks == blocks && requires { Simd::multiply_add(x, w, sum); }) {
        Simd::multiply_add(x, w, sum);
        continue;
      }
#pragma GCC unroll 4
      for (int b = 0; b < Blocks; ++b) {
        if constexpr (std::is_same_v<Acc, float>) sum[b] = Simd::multiply_add(load(x + b * lanes), load(w + b * lanes), sum[b]);
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
        gemm::finish_tile<Simd>(epilogue, tile, width, {r, r + 1}, {c, end});
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

// Weights without a zero point, on a tier that multiplies four bytes at once: Tile::run interleaves the bytes of four taps, so
// that a dot product of four is four taps of one channel.
//
//   Tile::channels            channels per call, a multiple of 16
//   Tile::lhs_offset          as in GemmKernels
//   Tile::run(row, tap_offsets, tap_groups, weights, flip, tile)
//   weights                   [channel block][tap group][channels][4], zero padded; order of channels: ops/conv.cc
template <class Simd, class Tile>
struct DepthwiseDot {
  static void run(const gemm::Lhs& lhs, const void* weights, const gemm::Epilogue& epilogue, gemm::Range rows) {
    const Index channels = lhs.tap_depth, groups = divide_up(lhs.taps, 4);
    const std::uint32_t flip = gemm::applied_offset(Tile::lhs_offset, lhs.is_signed) != 0 ? 0x80808080u : 0u;
    const auto* first = static_cast<const std::uint8_t*>(lhs.data);
    alignas(64) std::int32_t tile[Tile::channels];
    for (Index r = rows.begin; r < rows.end; ++r) {
      const std::uint8_t* row = first + r / lhs.inner_rows * lhs.outer_stride + r % lhs.inner_rows * lhs.inner_stride;
      const auto* w = static_cast<const std::int8_t*>(weights);
      for (Index c = 0; c < channels; c += Tile::channels, w += groups * Tile::channels * 4) {
        Tile::run(row + c, lhs.tap_offsets, groups, w, flip, tile);
        const Index end = c + Tile::channels < channels ? c + Tile::channels : channels;
        gemm::finish_tile<Simd>(epilogue, tile, Tile::channels, {r, r + 1}, {c, end});
      }
    }
  }
};

}  // namespace
}  // namespace qkern::conv
