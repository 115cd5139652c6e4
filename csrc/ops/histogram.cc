#include "ops/histogram.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <vector>

#include "isa/kernel_table.h"
#include "threading/parallel_for.h"

namespace qkern::ops {
namespace {

using elementwise::histogram_bins, elementwise::Range;

constexpr Index block = 1024;                       // numbers whose bins are computed at a time
constexpr std::size_t copies = 4;                   // of the counters: equal neighbours, as the zeros after a ReLU, would wait for each other
constexpr std::size_t apart = histogram_bins + 32;  // no multiple of 4 KiB, which loads would take for the same place

// The smallest range that holds both; NaN wins.
Range joined(Range a, Range b) {
  if (a.low != a.low || b.low != b.low) return a.low != a.low ? a : b;
  return {std::min(a.low, b.low), std::max(a.high, b.high)};
}

struct Part : Counted {
  std::vector<std::uint32_t> counts = std::vector<std::uint32_t>(copies * apart);
};

Part counted(const elementwise::Kernels& kernels, const float* x, Index n, float factor, std::int32_t first) {
  Part part;
  part.range = kernels.extremes(nullptr, 0);
  std::array<std::uint32_t, block> bins;
  std::uint32_t* const counts = part.counts.data();
  for (Index start = 0; start < n; start += block) {
    const Index count = std::min(block, n - start);
    const elementwise::Binned found = kernels.find_bins(x + start, count, factor, first, bins.data());
    part.range = joined(part.range, found.range);
    part.zeros += found.zeros;
    part.outside |= found.outside;
    if (part.outside) return part;
    const std::uint32_t *bin = bins.data(), *const end = bin + count;
    for (; end - bin >= static_cast<std::ptrdiff_t>(copies); bin += copies) {
      for (std::size_t copy = 0; copy < copies; ++copy) ++counts[copy * apart + bin[copy]];
    }
    for (; bin < end; ++bin) ++counts[*bin];
  }
  return part;
}

// part(start, count) for pieces of [0, n), on several threads; what it gives, in any order.
template <class Function>
auto each_part(Index n, Index work_per_number, const Function& part) {
  constexpr Index most = Index{1} << 30;  // 32 bits count them
  std::vector<decltype(part(Index{}, Index{}))> found;
  std::mutex access;
  threading::parallel_for(divide_up(n, block), block * work_per_number, [&](Index begin, Index end) {
    const Index last = std::min(end * block, n);
    for (Index start = begin * block; start < last; start += most) {
      auto one = part(start, std::min(most, last - start));
      const std::lock_guard lock(access);
      found.push_back(std::move(one));
    }
  });
  return found;
}

}  // namespace

Range extremes(const float* x, Index n) {
  const auto& kernels = isa::active_kernels().elementwise;
  Range all = kernels.extremes(x, 0);
  for (const Range one : each_part(n, 1, [&](Index start, Index count) { return kernels.extremes(x + start, count); })) all = joined(all, one);
  return all;
}

Counted add_to_histogram(const float* x, Index n, float factor, std::int32_t first, std::int64_t* counts) {
  const auto& kernels = isa::active_kernels().elementwise;
  const auto parts = each_part(n, 2, [&](Index start, Index count) { return counted(kernels, x + start, count, factor, first); });
  Counted all{kernels.extremes(x, 0), 0, false};
  for (const Part& part : parts) {
    all = {joined(all.range, part.range), all.zeros + part.zeros, all.outside || part.outside};
  }
  if (all.outside) return all;
  for (const Part& part : parts) {
    for (std::size_t copy = 0; copy < copies; ++copy) {
      for (std::size_t bin = 0; bin < histogram_bins; ++bin) counts[bin] += part.counts[copy * apart + bin];
    }
  }
  return all;
}

}  // namespace qkern::ops
