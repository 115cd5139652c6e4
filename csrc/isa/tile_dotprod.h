// sdot: four products of int8 summed into an int32 lane, without saturation. What tiers neon_dotprod and neon_i8mm share.
#pragma once

#include "isa/tile_neon.h"

namespace qkern::isa {
namespace {

// 16 channels: the bytes of four taps are interleaved until each 32-bit lane holds four taps of one channel.
struct DepthwiseDotprod {
  static constexpr Index channels = 16;
  static constexpr std::int32_t lhs_offset = -128;

  static void run(const std::uint8_t* row, const Index* tap_offsets, Index tap_groups, const std::int8_t* weights, std::uint32_t flip,
                  std::int32_t* tile) {
    const uint8x16_t flips = vreinterpretq_u8_u32(vdupq_n_u32(flip));
    int32x4_t sum[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
    for (Index g = 0; g < tap_groups; ++g, tap_offsets += 4, weights += channels * 4) {
      uint8x16_t x[4];
#pragma GCC unroll 4
      for (int t = 0; t < 4; ++t) x[t] = veorq_u8(vld1q_u8(row + tap_offsets[t]), flips);
      const uint16x8_t low01 = vreinterpretq_u16_u8(vzip1q_u8(x[0], x[1])), high01 = vreinterpretq_u16_u8(vzip2q_u8(x[0], x[1]));
      const uint16x8_t low23 = vreinterpretq_u16_u8(vzip1q_u8(x[2], x[3])), high23 = vreinterpretq_u16_u8(vzip2q_u8(x[2], x[3]));
      sum[0] = vdotq_s32(sum[0], vreinterpretq_s8_u16(vzip1q_u16(low01, low23)), vld1q_s8(weights));
      sum[1] = vdotq_s32(sum[1], vreinterpretq_s8_u16(vzip2q_u16(low01, low23)), vld1q_s8(weights + 16));
      sum[2] = vdotq_s32(sum[2], vreinterpretq_s8_u16(vzip1q_u16(high01, high23)), vld1q_s8(weights + 32));
      sum[3] = vdotq_s32(sum[3], vreinterpretq_s8_u16(vzip2q_u16(high01, high23)), vld1q_s8(weights + 48));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) vst1q_s32(tile + i * 4, sum[i]);
  }
};

}  // namespace
}  // namespace qkern::isa
