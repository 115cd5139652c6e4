#include "program/program.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "tensor/scratch.h"
#include "threading/parallel_for.h"

namespace qkern::program {
namespace {

std::int64_t now() { return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

const void* address(const Place& place, unsigned char* arena, void* const* externals) {
  if (place.constant != nullptr) return static_cast<const unsigned char*>(place.constant) + place.offset;
  return (place.external < 0 ? arena : static_cast<unsigned char*>(externals[place.external])) + place.offset;
}

}  // namespace

Program::Program(std::vector<Step> steps) : steps_(std::move(steps)) {
  for (const Step& step : steps_) {
    most_operands_ = std::max(most_operands_, step.operands.size());
    externals_ = std::max(externals_, step.result.external + 1);
    for (const Place& place : step.operands) externals_ = std::max(externals_, place.external + 1);
  }
}

void Program::run(unsigned char* arena, void* const* externals, std::int64_t* times) const {
  auto** operands = static_cast<const void**>(tensor::scratch(tensor::Scratch::Operands, most_operands_ * sizeof(void*)));
  if (times != nullptr) *times++ = now();
  for (const Step& step : steps_) {
    for (std::size_t i = 0; i < step.operands.size(); ++i) operands[i] = address(step.operands[i], arena, externals);
    unsigned char* base = step.result.external < 0 ? arena : static_cast<unsigned char*>(externals[step.result.external]);
    step.call->run(operands, base + step.result.offset);
    if (times != nullptr) *times++ = now();
  }
}

void Program::run_samples(Index count, Index arena_bytes, void* const* externals, const Index* strides) const {
  const auto arrays = static_cast<std::size_t>(externals_);
  threading::parallel_for(count, threading::chunk_work, [&](Index begin, Index end) {
    auto* arena = static_cast<unsigned char*>(tensor::scratch(tensor::Scratch::Arena, static_cast<std::size_t>(arena_bytes)));
    auto** addresses = static_cast<void**>(tensor::scratch(tensor::Scratch::Externals, arrays * sizeof(void*)));
    for (Index sample = begin; sample < end; ++sample) {
      for (std::size_t i = 0; i < arrays; ++i) addresses[i] = static_cast<unsigned char*>(externals[i]) + sample * strides[i];
      run(arena, addresses, nullptr);
    }
  });
}

}  // namespace qkern::program
