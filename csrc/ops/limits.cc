#include "ops/limits.h"

#include <algorithm>
#include <atomic>

#include "threading/parallel_for.h"

namespace qkern::ops {
namespace {

constexpr Index line = 64;  // bytes of the cache that come together

}  // namespace

Index run_register_loop(const isa::RegisterLoop& loop, Index rounds) {
  const Index threads = threading::num_threads();
  threading::parallel_for(threads, threading::worth_a_thread, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) loop.run(rounds);
  });
  return loop.operations * rounds * threads;
}

std::uint8_t read_memory(const unsigned char* data, Index size, Index repeats) {
  const auto read = isa::active_kernels().limits.read;
  const Index threads = threading::num_threads();
  const Index part = divide_up(divide_up(size, line), threads) * line;
  std::atomic<std::uint8_t> all{0};
  threading::parallel_for(threads, threading::worth_a_thread, [&](Index begin, Index end) {
    const Index first = std::min(begin * part, size), last = std::min(end * part, size);
    std::uint8_t found = 0;
    for (Index i = 0; i < repeats; ++i) found ^= read(data + first, last - first);
    all.fetch_xor(found, std::memory_order_relaxed);
  });
  return all;
}

}  // namespace qkern::ops
