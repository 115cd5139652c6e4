#include "ops/limits.h"

#include <algorithm>
#include <atomic>

#include "threading/parallel_for.h"

namespace qkern::ops {
namespace {

constexpr Index line = 64;           // bytes of the cache that come together
constexpr Index chunk_rounds = 500;  // of a register loop: some microseconds

}  // namespace

Index run_register_loop(const isa::RegisterLoop& loop, Index rounds) {
  threading::parallel_for(divide_up(rounds, chunk_rounds), threading::chunk_work,
                          [&](Index begin, Index end) { loop.run(std::min(end * chunk_rounds, rounds) - begin * chunk_rounds); });
  return loop.operations * rounds;
}

std::uint8_t read_memory(const unsigned char* data, Index size, Index repeats) {
  const auto read = isa::active_kernels().limits.read;
  const Index threads = threading::num_threads();
  const Index part = divide_up(divide_up(size, line), threads) * line;
  std::atomic<std::uint8_t> all{0};
  threading::parallel_for(threads, std::max(threading::chunk_work, part / 8 * repeats), [&](Index begin, Index end) {
    const Index first = std::min(begin * part, size), last = std::min(end * part, size);
    std::uint8_t found = 0;
    for (Index i = 0; i < repeats; ++i) found ^= read(data + first, last - first);
    all.fetch_xor(found, std::memory_order_relaxed);
  });
  return all;
}

}  // namespace qkern::ops
