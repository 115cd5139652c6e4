#include "gemm/packed_weights.h"

#include <cstdint>

#include "tensor/sizes.h"

namespace qkern::gemm {
namespace {

constexpr std::size_t alignment = 64;

std::byte* aligned(std::byte* memory) {
  const std::size_t past = reinterpret_cast<std::uintptr_t>(memory) % alignment;
  return past == 0 ? memory : memory + (alignment - past);
}

}  // namespace

PackedWeights::PackedWeights(const GemmKernels& kernels, const RhsSource& source)
    : kernels_(&kernels),
      cols_(tensor::checked_sum("the weights", {source.cols})),
      taps_(source.taps),
      tap_depth_(source.tap_depth),
      depth_groups_(divide_up(source.tap_depth, kernels.depth)),
      shift_(kernels.rhs_element_size == 1 && !source.is_signed ? 128 : 0),
      bytes_(static_cast<std::size_t>(
          tensor::checked_product("the weights", {taps_, depth_groups_, kernels.depth, padded_cols(), kernels.rhs_element_size}))),
      // Aligned by hand: asking the allocator for it takes longer than a small product. Another 64 bytes may be read past the panels.
      memory_(new std::byte[bytes_ + 64 + alignment]),
      panels_(aligned(memory_.get())),
      column_sums_(static_cast<std::size_t>(padded_cols())),
      narrow_(kernels.pack(source, panels_, column_sums_.data())) {}

}  // namespace qkern::gemm
