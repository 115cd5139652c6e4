// Runs a loop on several threads at once.
#pragma once

#include <thread>
#include <vector>

// run(index) for each index below `threads`, each on a thread of its own; 0 on the caller's.
template <class Run>
void on_threads(int threads, const Run& run) {
  std::vector<std::thread> others;
  for (int index = 1; index < threads; ++index) others.emplace_back([&run, index] { run(index); });
  run(0);
  for (std::thread& other : others) other.join();
}
