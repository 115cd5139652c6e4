// Depthwise convolution, channels last: every channel has its own window.
//
//   acc[r, c] = sum over taps t of lhs(r, t)[c] * weights[t][c]
//
// One block of channels of one output pixel at a time; the accumulators stay in registers over the taps.
#pragma once

#include <concepts>
#include <type_traits>

#include "gemm/epilogue.h"
#include "gemm/gemm.h"
#include "gemm/row_walk.h"

namespace qkern::conv {
namespace {  // internal linkage: each tier compiles its own copy

// Any weights: int16 with their zero point already subtracted (at most 255 in magnitude, so that a product fits in int32), or
// float. A tier whose Simd has `dot_pairs` multiplies two taps at once (their weights are neighbours), others one.
template <class Simd>
concept MultipliesPairs = requires(const std::uint8_t* x, const std::int16_t* w, typename Simd::I32 sum) {
  { Simd::dot_pairs(x, x, w, sum) } -> std::same_as<typename Simd::I32>;
};

template <class Simd>
struct Depthwise {
  static constexpr Index lanes = Simd::lanes;
  static constexpr int blocks = 4;  // accumulators in flight, to cover the latency of multiply and add
  static constexpr Index pixels_at_once = 16;
  static constexpr Index int8_taps = MultipliesPairs<Simd> ? 2 : 1;

  template <class T>
  [[gnu::always_inline]] static auto load(const T* from) {
    if constexpr (std::is_same_v<T, float>) return gemm::load<typename Simd::F32>(from);
    else return Simd::widen(from);
  }

  // Modulo 2^32, as the contract has it: signed addition would be undefined where it overflows.
  [[gnu::always_inline]] static typename Simd::I32 wrapping_sum(typename Simd::I32 a, typename Simd::I32 b) {
    using Bits = typename Simd::U32;
    return reinterpret_cast<typename Simd::I32>(reinterpret_cast<Bits>(a) + reinterpret_cast<Bits>(b));
  }

  template <class T, class Weight, class Acc, int Blocks>
  [[gnu::always_inline]] static void accumulate(const T* row, const Index* tap_offsets, Index taps, const Weight* weights, Index padded, Acc* out) {
    std::conditional_t<std::is_same_v<Acc, float>, typename Simd::F32, typename Simd::I32> sum[Blocks] = {};
    constexpr Index step = std::is_same_v<Acc, float> ? 1 : int8_taps;
    for (Index tap = 0; tap < taps; tap += step, weights += padded * step) {
      const T* x = row + tap_offsets[tap];
      if constexpr (Blocks == blocks && requires { Simd::multiply_add(x, weights, sum); }) {
        Simd::multiply_add(x, weights, sum);
        continue;
      }
#pragma GCC unroll 4
      for (int b = 0; b < Blocks; ++b) {
        const Weight* w = weights + b * lanes * step;
        if constexpr (std::is_same_v<Acc, float>) sum[b] = Simd::multiply_add(load(x + b * lanes), load(w), sum[b]);
        else if constexpr (step == 2) sum[b] = Simd::dot_pairs(x + b * lanes, row + tap_offsets[tap + 1] + b * lanes, w, sum[b]);
        else sum[b] = wrapping_sum(sum[b], load(x + b * lanes) * load(w));
      }
    }
    std::memcpy(out, sum, sizeof sum);
  }

  // A block of channels of several pixels at a time, so that the epilogue is set up once for all of them.
  template <class T, class Acc, int Blocks, class Weight, class Finisher>
  static void run_block(const T* const* pixels, Index count, Index c, const gemm::Lhs& lhs, const Weight* weights, const Finisher& finish,
                        Index row) {
    constexpr Index width = Blocks * lanes;
    alignas(64) Acc tile[pixels_at_once * width];
    for (Index p = 0; p < count; ++p) {
      accumulate<T, Weight, Acc, Blocks>(pixels[p] + c, lhs.tap_offsets, lhs.taps, weights, round_up(lhs.tap_depth, lanes), tile + p * width);
    }
    const Index end = c + width < lhs.tap_depth ? c + width : lhs.tap_depth;
    finish(tile, width, {row, row + count}, {c, end});
  }

  template <class T, class Weight, class Acc, class Finisher>
  static void run_typed(const gemm::Lhs& lhs, const Weight* weights, const Finisher& finish, gemm::Range rows) {
    const Index channels = lhs.tap_depth;
    constexpr Index step = std::is_same_v<Acc, float> ? 1 : int8_taps;
    gemm::RowWalk walk(lhs, rows.begin, sizeof(T));
    for (Index row = rows.begin; row < rows.end; row += pixels_at_once) {
      const Index count = rows.end - row < pixels_at_once ? rows.end - row : pixels_at_once;
      const T* pixels[pixels_at_once];
      for (Index p = 0; p < count; ++p) pixels[p] = reinterpret_cast<const T*>(walk.next());
      Index c = 0;
      for (; channels - c > (blocks - 1) * lanes; c += blocks * lanes) {
        run_block<T, Acc, blocks>(pixels, count, c, lhs, weights + c * step, finish, row);
      }
      for (; c < channels; c += lanes) run_block<T, Acc, 1>(pixels, count, c, lhs, weights + c * step, finish, row);
    }
  }

  static void run_int8(const gemm::Lhs& lhs, const void* weights, const gemm::Epilogue& epilogue, gemm::Range rows) {
    const auto* w = static_cast<const std::int16_t*>(weights);
    gemm::with_finisher<Simd, std::int32_t>(epilogue, [&](const auto& finish) {
      if (lhs.is_signed) run_typed<std::int8_t, std::int16_t, std::int32_t>(lhs, w, finish, rows);
      else run_typed<std::uint8_t, std::int16_t, std::int32_t>(lhs, w, finish, rows);
    });
  }
  static void run_float32(const gemm::Lhs& lhs, const void* weights, const gemm::Epilogue& epilogue, gemm::Range rows) {
    gemm::with_finisher<Simd, float>(
        epilogue, [&](const auto& finish) { run_typed<float, float, float>(lhs, static_cast<const float*>(weights), finish, rows); });
  }
};

// Weights without a zero point, on a tier that multiplies four bytes at once: Tile::run interleaves the bytes of four taps, so
// that a dot product of four is four taps of one channel.
//
//   Tile::channels            channels per call, a multiple of 16
//   Tile::lhs_offset          as in GemmKernels
//   Tile::run(row, tap_offsets, tap_groups, weights, flip, tile)
//   weights                   [channel block][tap group][channels][4], zero padded; order of channels: ops/conv_depthwise.cc
template <class Simd, class Tile>
struct DepthwiseDot {
  static void run(const gemm::Lhs& lhs, const void* weights, const gemm::Epilogue& epilogue, gemm::Range rows) {
    gemm::with_finisher<Simd, std::int32_t>(epilogue, [&](const auto& finish) { run_rows(lhs, weights, finish, rows); });
  }

 private:
  template <class Finisher>
  static void run_rows(const gemm::Lhs& lhs, const void* weights, const Finisher& finish, gemm::Range rows) {
    const Index channels = lhs.tap_depth, groups = divide_up(lhs.taps, 4);
    const std::uint32_t flip = gemm::applied_offset(Tile::lhs_offset, lhs.is_signed) != 0 ? 0x80808080u : 0u;
    gemm::RowWalk walk(lhs, rows.begin, 1);
    alignas(64) std::int32_t tile[Tile::channels];
    for (Index r = rows.begin; r < rows.end; ++r) {
      const std::uint8_t* row = walk.next();
      const auto* w = static_cast<const std::int8_t*>(weights);
      for (Index c = 0; c < channels; c += Tile::channels, w += groups * Tile::channels * 4) {
        Tile::run(row + c, lhs.tap_offsets, groups, w, flip, tile);
        const Index end = c + Tile::channels < channels ? c + Tile::channels : channels;
        finish(tile, Tile::channels, {r, r + 1}, {c, end});
      }
    }
  }
};

}  // namespace
}  // namespace qkern::conv
