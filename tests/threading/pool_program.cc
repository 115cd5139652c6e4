// What parallel_for promises, tried from C++ by several threads at once; `pool_program ROUNDS`. Compiled with -fsanitize=thread it shows
// data races (nox -s tsan).
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <thread>
#include <vector>

#include "threading/parallel_for.h"
#include "threading/thread_count.h"

namespace {

using qkern::Index;
using qkern::threading::parallel_for;

constexpr Index much = Index{1} << 20;  // of work: shared, even for two items
std::atomic<int> failures{0};

void expect(bool right, const char* what) {
  if (right) return;
  std::printf("wrong: %s\n", what);
  ++failures;
}

// Plain memory on purpose: that each item is written once, and seen by the caller, is what is tried.
void each_item_once(Index items, Index work) {
  std::vector<int> seen(static_cast<std::size_t>(items));
  parallel_for(items, work, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) ++seen[static_cast<std::size_t>(i)];
  });
  bool once = true;
  for (const int count : seen) once = once && count == 1;
  expect(once, "each item once");
}

void nested(Index items) {
  std::vector<Index> sums(static_cast<std::size_t>(items));
  parallel_for(items, much, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      Index calls = 0, sum = 0;
      parallel_for(100, much, [&](Index first, Index last) {
        ++calls;
        for (Index j = first; j < last; ++j) sum += i + j;
      });
      expect(calls == 1, "a nested loop is the thread's own");
      sums[static_cast<std::size_t>(i)] = sum;
    }
  });
  for (Index i = 0; i < items; ++i) expect(sums[static_cast<std::size_t>(i)] == 100 * i + 4950, "nested sums");
}

void exceptions(Index items) {
  for (const Index thrower : {Index{0}, items / 2, items - 1, Index{-1}}) {
    std::vector<int> seen(static_cast<std::size_t>(items));
    bool caught = false;
    try {
      parallel_for(items, much, [&](Index begin, Index end) {
        for (Index i = begin; i < end; ++i) {
          if (i == thrower || thrower < 0) throw std::runtime_error("one of them");
          seen[static_cast<std::size_t>(i)] = 1;
        }
      });
    } catch (const std::runtime_error&) {
      caught = true;
    }
    expect(caught, "an exception reaches the caller");
    each_item_once(items, much);  // the pool goes on
  }
}

void rounds(int count, unsigned seed) {
  for (int round = 0; round < count; ++round) {
    qkern::threading::limit_num_threads(static_cast<int>((seed + static_cast<unsigned>(round)) % 7));
    each_item_once(0, much);
    each_item_once(1, much);
    each_item_once(2, much);
    each_item_once(7, much);
    each_item_once(1000, 1000);
    each_item_once(200'000, much);  // more items than chunks
    nested(9);
    exceptions(11);
  }
}

}  // namespace

int main(int, char** arguments) {
  const int count = std::atoi(arguments[1]);
  qkern::threading::set_num_threads(4);
  rounds(count, 0);
  std::vector<std::thread> callers;
  for (unsigned seed = 0; seed < 80; ++seed) callers.emplace_back(rounds, count / 10 + 1, seed);  // more than the pool has slots for
  for (std::thread& caller : callers) caller.join();
  qkern::threading::set_num_threads(9);
  rounds(count / 10 + 1, 1);
  std::puts(failures.load() == 0 ? "right" : "wrong");
  return failures.load() == 0 ? 0 : 1;
}
