#include "threading/parallel_for.h"

#ifdef _OPENMP
#include <omp.h>
#endif
#if __has_include(<pthread.h>)
#include <pthread.h>
#define QKERN_FORKS
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

// A forked process has the thread that forked and no other, but GNU's OpenMP still counts on the threads of its pool, and waits
// for them for ever. Whether there was such a pool (ours, or another library's) can't be asked, so every forked process computes
// on one thread.
std::atomic<bool> forked{false};

#ifdef QKERN_FORKS
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, [] { forked.store(true, std::memory_order_relaxed); });
#endif

thread_local int limit = 0;

}  // namespace

int num_threads() {
  if (forked.load(std::memory_order_relaxed)) return 1;
  return limit > 0 ? limit : setting().load(std::memory_order_relaxed);
}
void set_num_threads(int count) { setting().store(std::max(1, count), std::memory_order_relaxed); }

int limit_num_threads(int count) {
  const int before = limit;
  limit = std::max(0, count);
  return before;
}

int threads_for(Index items, Index work) {
#ifdef _OPENMP
  const Index most = std::min(Index{num_threads()}, items);
  if (most <= 1 || omp_in_parallel()) return 1;
  const double useful = static_cast<double>(items) * static_cast<double>(work) / worth_a_thread + 1;  // a double: work may be any number
  return static_cast<int>(std::min(static_cast<double>(most), useful));
#else
  static_cast<void>(items), static_cast<void>(work);
  return 1;
#endif
}

}  // namespace qkern::threading
