// Splits a loop over threads. Every item is done by one thread in one order, so results don't depend on the thread count.
#pragma once

#include <exception>

#include "tensor/types.h"

namespace qkern::threading {

// Threads a call may use; at least 1. Starts as OMP_NUM_THREADS, else the number of processors this process may use; always 1 in
// a process that was forked (not one that was spawned).
int num_threads();
void set_num_threads(int count);

// The number for calls that this thread makes, whatever the process's is; 0: the process's. Returns what it was.
int limit_num_threads(int count);

// Below this many units, an element of an elementwise loop each, a second thread costs more than it brings.
inline constexpr Index worth_a_thread = Index{1} << 17;

// Number of threads for `items` items of `work` units each.
int threads_for(Index items, Index work);

// Calls body(begin, end) on disjoint ranges that cover [0, items). The first exception thrown is rethrown.
template <class Body>
void parallel_for(Index items, Index work_per_item, const Body& body) {
  const int threads = threads_for(items, work_per_item);
  if (threads <= 1) {
    if (items > 0) body(Index{0}, items);
    return;
  }
  std::exception_ptr failure;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int t = 0; t < threads; ++t) {
    try {
      const Index begin = items * t / threads, end = items * (t + 1) / threads;
      if (begin < end) body(begin, end);
    } catch (...) {
#pragma omp critical(qkern_parallel_for)
      if (!failure) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace qkern::threading
