#include "ops/histogram.h"

#include <algorithm>
#include <array>
#include <limits>
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
  Index numbers = 0;

  bool has_room(Index more) const { return numbers + more <= std::numeric_limits<std::uint32_t>::max(); }
};

void count(const elementwise::Kernels& kernels, const float* x, Index n, float factor, std::int32_t first, Part& part) {
  std::array<std::uint32_t, block> bins;
  std::uint32_t* const counts = part.counts.data();
  part.numbers += n;
  for (Index start = 0; start < n && !part.outside; start += block) {
    const Index size = std::min(block, n - start);
    const elementwise::Binned found = kernels.find_bins(x + start, size, factor, first, bins.data());
    part.range = joined(part.range, found.range);
    part.zeros += found.zeros;
    part.outside = found.outside;
    if (part.outside) return;
    const std::uint32_t *bin = bins.data(), *const end = bin + size;
    for (; end - bin >= static_cast<std::ptrdiff_t>(copies); bin += copies) {
      for (std::size_t copy = 0; copy < copies; ++copy) ++counts[copy * apart + bin[copy]];
    }
    for (; bin < end; ++bin) ++counts[*bin];
  }
}

// Parts to add to, each by one thread at a time: about as many as there are threads at work.
class Parts {
 public:
  explicit Parts(Range nothing) : nothing_(nothing) {}

  // One that has room for `more` numbers.
  Part take(Index more) {
    const std::lock_guard lock(access_);
    if (parts_.empty() || !parts_.back().has_room(more)) {
      Part part;
      part.range = nothing_;
      return part;
    }
    Part part = std::move(parts_.back());
    parts_.pop_back();
    return part;
  }
  void put(Part part) {
    const std::lock_guard lock(access_);
    parts_.push_back(std::move(part));
  }
  const std::vector<Part>& all() const { return parts_; }

 private:
  Range nothing_;
  std::vector<Part> parts_;
  std::mutex access_;
};

// run(start, count) for pieces of [0, n), on several threads.
template <class Function>
void each_piece(Index n, Index work_per_number, const Function& run) {
  constexpr Index most = Index{1} << 30;  // 32 bits count them
  threading::parallel_for(divide_up(n, block), block * work_per_number, [&](Index begin, Index end) {
    const Index last = std::min(end * block, n);
    for (Index start = begin * block; start < last; start += most) run(start, std::min(most, last - start));
  });
}

}  // namespace

Range extremes(const float* x, Index n) {
  const auto& kernels = isa::active_kernels().elementwise;
  Range all = kernels.extremes(x, 0);
  std::mutex access;
  each_piece(n, 1, [&](Index start, Index count) {
    const Range one = kernels.extremes(x + start, count);
    const std::lock_guard lock(access);
    all = joined(all, one);
  });
  return all;
}

Counted add_to_histogram(const float* x, Index n, float factor, std::int32_t first, std::int64_t* counts) {
  const auto& kernels = isa::active_kernels().elementwise;
  Counted all{kernels.extremes(x, 0), 0, false};
  Parts parts(all.range);
  each_piece(n, 2, [&](Index start, Index size) {
    Part part = parts.take(size);
    count(kernels, x + start, size, factor, first, part);
    parts.put(std::move(part));
  });
  for (const Part& part : parts.all()) {
    all = {joined(all.range, part.range), all.zeros + part.zeros, all.outside || part.outside};
  }
  if (all.outside) return all;
  for (const Part& part : parts.all()) {
    for (std::size_t copy = 0; copy < copies; ++copy) {
      for (std::size_t bin = 0; bin < histogram_bins; ++bin) counts[bin] += part.counts[copy * apart + bin];
    }
  }
  return all;
}

}  // namespace qkern::ops
