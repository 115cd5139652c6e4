// A 3x3 convolution of stride 1 by exact integer Winograd (conv/winograd.h): the same int32 as the direct way, from fewer products.
//
// Whether a form is exact for these weights is proven here, per output channel: a sum of products of codes is at most 255 * the larger of the sum of
// its positive weights and the sum of its negative ones' magnitudes, for int8 and uint8 alike, and has to be within WinogradKernel::limit. The
// zero point of the activations is added afterwards, modulo 2^32, and doesn't enter. Weights with a zero point of their own are direct.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "ops/conv_cost.h"
#include "ops/conv_source.h"
#include "ops/packing_budget.h"

namespace qkern::ops {

enum class Algorithm { Auto, Direct, Winograd2, Winograd4 };

class ConvWinograd {
 public:
  // Null where no form that `algorithm` allows is exact and known for such a layer; for one form alone std::invalid_argument then says why.
  static std::unique_ptr<const ConvWinograd> make(const ConvWeights& weights, const ConvQuantization& quantization, const LayerOutput& output,
                                                  const isa::KernelTable& kernels, Algorithm algorithm, std::shared_ptr<PackingBudget> budget);
  // Whether images decide: else every one is computed by the one form.
  bool is_auto() const { return !is_forced_; }
  const std::shared_ptr<const ConvSource>& source() const { return source_; }

  // One way to compute the layer, packed.
  struct Form {
    const conv::WinogradKernel* kernel;
    const std::int16_t* panels;
    const char* name;
  };
  // For outputs of this size; null: directly. Packs it, once, on whichever thread asks first, as long as the budget allows.
  const Form* choose(Index planes, const Sizes& out) const;
  // The one form's, or "auto".
  const char* name() const;

  ImageNeeds image_needs(const Window& window) const { return {{window.pad_begin[0], 0, 0}, {window.pad_end[0], 0, 0}, false}; }

  // All planes of an image. `epilogue`: its kind, bounds and output.
  struct Call {
    const PreparedImage& image;
    const Window& window;
    const Sizes& out;
    Index planes;
    bool is_signed;
    gemm::Epilogue epilogue;
    const gemm::CodeFinisher* finish;  // or null
  };
  void run(const Form& form, const Call& call) const;

  // Of the forms packed so far, and of the weights they are packed from.
  std::size_t bytes() const { return bytes_ + source_->bytes(); }

 private:
  static constexpr int forms = 2;
  struct Packed {
    bool allowed = false;
    std::once_flag once;
    std::unique_ptr<std::byte[]> memory;
    Form form{};
  };

  ConvWinograd(std::shared_ptr<const ConvSource> source, const LayerOutput& output, const conv::WinogradKernels& kernels);
  const Form* packed(int form) const;  // null: there is no room for it
  std::size_t packed_bytes(int form) const;
  void pack(int form) const;
  Index padded_out() const { return round_up(group_out_, kernels_.lanes); }
  Index column(Index channel) const { return channel / group_out_ * padded_out() + channel % group_out_; }
  Index group_elements(const conv::WinogradKernel& kernel) const;
  std::vector<std::int32_t> column_offsets() const;
  ConvSizes sizes(Index planes, const Sizes& out) const { return {planes, out[1], out[2], groups_, group_in_, group_out_}; }

  const conv::WinogradKernels& kernels_;
  Index groups_, group_in_, group_out_;
  bool is_forced_ = false, safe_weights_ = false;
  std::int32_t x_zero_;
  std::shared_ptr<const ConvSource> source_;
  std::shared_ptr<PackingBudget> budget_;  // or null: as much as is asked for
  ChannelArrays channels_;
  mutable Packed packed_[forms];
  mutable std::atomic<std::size_t> bytes_ = 0;
};

}  // namespace qkern::ops
