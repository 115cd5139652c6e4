#include "gemm/packed_weights.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "tensor/sizes.h"

namespace qkern::gemm {
namespace {

constexpr std::size_t alignment = 64;

// Two codes of 4 bits in each of `bytes`, for int8 weights that are all levels (or padding, if 0 is none).
void join_codes(const std::int8_t* weights, std::span<const std::int8_t> levels, std::size_t code_register, std::size_t bytes, std::uint8_t* to) {
  std::array<std::uint8_t, 256> code_of{};
  for (std::size_t code = 0; code < levels.size(); ++code) code_of[static_cast<std::uint8_t>(levels[code])] = static_cast<std::uint8_t>(code);
  const std::size_t half = code_register / 2;
  for (std::size_t i = 0; i < bytes; i += half, weights += code_register) {
    for (std::size_t j = 0; j < half; ++j) {
      const unsigned low = code_of[static_cast<std::uint8_t>(weights[j])], high = code_of[static_cast<std::uint8_t>(weights[half + j])];
      to[i + j] = static_cast<std::uint8_t>(low | high << 4);
    }
  }
}

}  // namespace

// Aligned by hand: asking the allocator for it takes longer than a small product. Another 64 bytes may be read past the panels.
PackedWeights::Memory::Memory(std::size_t bytes) : owner(new std::byte[bytes + 64 + alignment]), panels(owner.get()) {
  const std::size_t past = reinterpret_cast<std::uintptr_t>(panels) % alignment;
  if (past != 0) panels += alignment - past;
}

PackedWeights::PackedWeights(const GemmKernels& kernels, const RhsSource& source, std::span<const std::int8_t> levels)
    : kernels_(&kernels),
      cols_(tensor::checked_sum("the weights", {source.cols})),
      taps_(source.taps),
      tap_depth_(source.tap_depth),
      depth_groups_(divide_up(source.tap_depth, kernels.depth)),
      shift_(kernels.rhs_element_size == 1 && !source.is_signed ? 128 : 0),
      bytes_(static_cast<std::size_t>(
          tensor::checked_product("the weights", {taps_, depth_groups_, kernels.depth, padded_cols(), kernels.rhs_element_size}))),
      memory_(bytes_),
      column_sums_(static_cast<std::size_t>(padded_cols())),
      levels_(levels.begin(), levels.end()),
      narrow_(kernels.pack(source, memory_.panels, column_sums_.data())) {
  if (levels_.empty()) return;
  bytes_ /= 2;
  Memory codes(bytes_);
  join_codes(reinterpret_cast<const std::int8_t*>(memory_.panels), levels_, static_cast<std::size_t>(kernels.code_register), bytes_,
             reinterpret_cast<std::uint8_t*>(codes.panels));
  memory_ = std::move(codes);
  if (std::find(levels_.begin(), levels_.end(), 0) == levels_.end()) padding_ = depth_groups_ * kernels.depth - tap_depth_;
}

Rhs PackedWeights::rhs() const {
  return {memory_.panels, cols_, depth_groups_, taps_, narrow_, levels_.empty() ? nullptr : levels_.data(), padding_};
}

}  // namespace qkern::gemm
