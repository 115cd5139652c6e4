#include "gemm/packed_weights.h"

#include <new>

#include "tensor/sizes.h"

namespace qkern::gemm {
namespace {
constexpr std::align_val_t alignment{64};
}

void PackedWeights::Free::operator()(std::byte* memory) const { ::operator delete[](memory, alignment); }

PackedWeights::PackedWeights(const GemmKernels& kernels, const RhsSource& source)
    : kernels_(&kernels),
      cols_(tensor::checked_sum("the weights", {source.cols})),
      taps_(source.taps),
      tap_depth_(source.tap_depth),
      depth_groups_(divide_up(source.tap_depth, kernels.depth)),
      shift_(kernels.rhs_element_size == 1 && !source.is_signed ? 128 : 0),
      bytes_(static_cast<std::size_t>(
          tensor::checked_product("the weights", {taps_, depth_groups_, kernels.depth, padded_cols(), kernels.rhs_element_size}))),
      panels_(new (alignment) std::byte[bytes_ + 64]),
      column_sums_(static_cast<std::size_t>(padded_cols())),
      narrow_(kernels.pack(source, panels_.get(), column_sums_.data())) {}

}  // namespace qkern::gemm
