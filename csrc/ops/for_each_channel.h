// How an elementwise operator with parameters per channel walks an array [outer, channels, inner].
#pragma once

#include <algorithm>

#include "ops/quantize.h"
#include "threading/parallel_for.h"

namespace qkern::ops {

// Work of one element, in the unit of threading::worth_a_thread.
inline constexpr Index work_per_element = 1;

// The array that an operator reads. Where no cache holds it, what is 4 KiB further on is fetched ahead of use: the processor does so by
// itself, but only within a page (docs/decisions/0037-elementwise-prefetch.md).
struct Source {
  const void* data;
  Index element_size;

  static constexpr Index cached = 4 << 20, ahead = 4096, line = 64, piece = 1024;  // bytes

  // run(start, count) for pieces of `count` elements from `start` on; the whole array has `total`.
  template <class Run>
  void stream(Index start, Index count, Index total, const Run& run) const {
    if (total * element_size <= cached) return run(start, count);
    const Index most = piece / element_size;
    for (const Index end = start + count; start < end; start += most) {
      const Index taken = std::min(most, end - start);
      fetch_ahead(start, taken, total);
      run(start, taken);
    }
  }

  void fetch_ahead(Index start, Index count, Index total) const {
    if (total * element_size <= cached) return;
    const Index first = start * element_size + ahead, end = std::min(first + count * element_size, total * element_size);
    for (Index byte = first; byte < end; byte += line) __builtin_prefetch(static_cast<const char*>(data) + byte);
  }
};

// same(start, count, channel) for elements of one channel, row(start) for each channels-last row of all channels.
template <class Same, class Row>
void for_each_channel(AxisView view, Source source, const Same& same, const Row& row) {
  const Index total = view.outer * view.channels * view.inner;
  if (total == 0) return;
  if (view.channels == 1) {
    // Blocks of 64 elements, so that two threads never write one cache line of bytes.
    threading::parallel_for(divide_up(total, 64), 64 * work_per_element, [&](Index begin, Index end) {
      const Index last = end * 64 < total ? end * 64 : total;
      source.stream(begin * 64, last - begin * 64, total, [&](Index start, Index count) { same(start, count, Index{0}); });
    });
  } else if (view.inner == 1) {
    threading::parallel_for(view.outer, view.channels * work_per_element, [&](Index begin, Index end) {
      for (Index o = begin; o < end; ++o) {
        source.fetch_ahead(o * view.channels, view.channels, total);
        row(o * view.channels);
      }
    });
  } else {
    threading::parallel_for(view.outer * view.channels, view.inner * work_per_element, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) {
        source.stream(i * view.inner, view.inner, total, [&](Index start, Index count) { same(start, count, i % view.channels); });
      }
    });
  }
}

}  // namespace qkern::ops
