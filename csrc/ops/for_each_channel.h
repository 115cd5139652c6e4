// How an elementwise operator with parameters per channel walks an array [outer, channels, inner].
#pragma once

#include "ops/quantize.h"
#include "threading/parallel_for.h"

namespace qkern::ops {

// Work of one element, in the unit of threading::worth_a_thread.
inline constexpr Index work_per_element = 1;

// whole(start, count) where one parameter serves the whole array, row(start) for each channels-last row,
// run(start, channel) for each run of `inner` elements of one channel.
template <class Whole, class Row, class Run>
void for_each_channel(AxisView view, const Whole& whole, const Row& row, const Run& run) {
  const Index total = view.outer * view.channels * view.inner;
  if (total == 0) return;
  if (view.channels == 1) {
    // Blocks of 64 elements, so that two threads never write one cache line of bytes.
    threading::parallel_for(divide_up(total, 64), 64 * work_per_element, [&](Index begin, Index end) {
      const Index last = end * 64 < total ? end * 64 : total;
      whole(begin * 64, last - begin * 64);
    });
  } else if (view.inner == 1) {
    threading::parallel_for(view.outer, view.channels * work_per_element, [&](Index begin, Index end) {
      for (Index o = begin; o < end; ++o) row(o * view.channels);
    });
  } else {
    threading::parallel_for(view.outer * view.channels, view.inner * work_per_element, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) run(i * view.inner, i % view.channels);
    });
  }
}

}  // namespace qkern::ops
