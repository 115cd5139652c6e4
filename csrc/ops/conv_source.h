// What an int8 layer was made of, kept for ways to compute it that are packed when they are first wanted.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "isa/kernel_table.h"
#include "ops/conv_route.h"

namespace qkern::ops {

class ConvSource {
 public:
  ConvSource(const ConvWeights& weights, const ConvQuantization& quantization)
      : weights_(weights),
        x_scale_(quantization.x_scale),
        x_zero_(quantization.x_zero),
        codes_(static_cast<const std::uint8_t*>(weights.data), static_cast<const std::uint8_t*>(weights.data) + count(weights)),
        w_scale_(quantization.w_scale.begin(), quantization.w_scale.end()),
        w_zero_(quantization.w_zero.begin(), quantization.w_zero.end()),
        bias_(quantization.bias.begin(), quantization.bias.end()),
        levels_(weights.levels.begin(), weights.levels.end()) {
    weights_.data = codes_.data();
    weights_.levels = levels_;
  }
  ConvSource(const ConvSource&) = delete;
  ConvSource& operator=(const ConvSource&) = delete;

  const ConvWeights& weights() const { return weights_; }
  ConvQuantization quantization() const { return {w_scale_, w_zero_, bias_, x_scale_, x_zero_}; }
  std::size_t bytes() const { return codes_.size(); }

 private:
  static Index count(const ConvWeights& weights) {
    return weights.out_channels * (weights.in_channels / weights.groups) * weights.window.positions();
  }

  ConvWeights weights_;
  float x_scale_;
  std::int32_t x_zero_;
  std::vector<std::uint8_t> codes_;
  std::vector<float> w_scale_;
  std::vector<std::int32_t> w_zero_, bias_;
  std::vector<std::int8_t> levels_;
};

// A route that exists already, or is made when it is first used.
class LateRoute {
 public:
  using Make = std::unique_ptr<const ConvRoute> (*)(const ConvSource&, const LayerOutput&, const isa::KernelTable&);

  explicit LateRoute(std::unique_ptr<const ConvRoute> route) : state_(new State) { state_->route = std::move(route); }
  LateRoute(Make make, std::shared_ptr<const ConvSource> source, const LayerOutput& output, const isa::KernelTable& kernels)
      : state_(new State{make, std::move(source), output, &kernels, {}, nullptr, 0}) {}

  const ConvRoute* operator->() const {
    State& state = *state_;
    if (state.make != nullptr) {
      std::call_once(state.once, [&] {
        state.route = state.make(*state.source, state.output, *state.kernels);
        state.bytes = state.route->bytes();
      });
    }
    return state.route.get();
  }
  // 0 as long as it isn't made.
  std::size_t bytes() const { return state_->make == nullptr ? state_->route->bytes() : state_->bytes.load(); }

 private:
  struct State {
    Make make = nullptr;
    std::shared_ptr<const ConvSource> source;
    LayerOutput output;
    const isa::KernelTable* kernels = nullptr;
    std::once_flag once;
    std::unique_ptr<const ConvRoute> route;
    std::atomic<std::size_t> bytes = 0;
  };
  std::unique_ptr<State> state_;
};

}  // namespace qkern::ops
