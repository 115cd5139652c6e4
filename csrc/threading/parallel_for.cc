#include "threading/parallel_for.h"

#ifdef _OPENMP
#include <omp.h>
#endif

#include <algorithm>
#include <atomic>

namespace qkern::threading {
namespace {

int initial_threads() {
#ifdef _OPENMP
  return std::max(1, omp_get_max_threads());
#else
  return 1;
#endif
}

std::atomic<int>& setting() {
  static std::atomic<int> count{initial_threads()};
  return count;
}

thread_local int limit = 0;

}  // namespace

int num_threads() { return limit > 0 ? limit : setting().load(std::memory_order_relaxed); }
void set_num_threads(int count) { setting().store(std::max(1, count), std::memory_order_relaxed); }

int limit_num_threads(int count) {
  const int before = limit;
  limit = std::max(0, count);
  return before;
}

int threads_for(Index items, Index work) {
#ifdef _OPENMP
  if (omp_in_parallel()) return 1;
  const Index useful = work > 0 ? items * work / worth_a_thread + 1 : 1;
  return static_cast<int>(std::min({Index{num_threads()}, items, useful}));
#else
  static_cast<void>(items), static_cast<void>(work);
  return 1;
#endif
}

}  // namespace qkern::threading
