// Splits a loop over threads. Every item is done by one thread in one order, so results depend neither on the number of threads nor on
// where a chunk ends.
#pragma once

#include "tensor/types.h"
#include "threading/thread_count.h"

namespace qkern::threading {

// Work is counted in units that take about as long as an element of an elementwise loop. Below this many a second thread costs more
// than it brings.
inline constexpr Index worth_a_thread = Index{1} << 17;

// Units that a thread claims at a time, at most, where an item isn't more by itself: 20 to 50 us.
inline constexpr Index chunk_work = Index{1} << 18;

// body(context, begin, end)
using Body = void (*)(const void* context, Index begin, Index end);

// Shares [0, items) with the threads of the pool, where this thread may (num_threads() of thread_count.h, and not from within a body).
void share(Index items, Index work_per_item, Body body, const void* context);

// Calls body(begin, end) on disjoint ranges that cover [0, items), from this thread and others; returns when all is done. The first
// exception thrown is rethrown. May be called by any thread, also from within a body: there it calls body(0, items).
template <class Function>
void parallel_for(Index items, Index work_per_item, const Function& body) {
  // A double: work may be any number.
  if (items > 1 && static_cast<double>(items) * static_cast<double>(work_per_item) >= static_cast<double>(worth_a_thread)) {
    share(
        items, work_per_item, [](const void* context, Index begin, Index end) { (*static_cast<const Function*>(context))(begin, end); }, &body);
  } else if (items > 0) {
    body(Index{0}, items);
  }
}

}  // namespace qkern::threading
