// How many threads a call may use.
#pragma once

#include <string>

namespace qkern::threading {

inline constexpr int most_threads = 1024;

// At least 1. The process's number starts as the least of the processors that this process may use, its control groups' quota
// (cpu_quota.h, rounded up) and the environment's QKERN_NUM_THREADS, else OMP_NUM_THREADS. Throws std::runtime_error where
// QKERN_NUM_THREADS is no number from 1 on, the first time.
int num_threads();
void set_num_threads(int count);

// The number for calls that this thread makes, whatever the process's is; 0: the process's. Returns what it was.
int limit_num_threads(int count);

// What there is in OMP_NUM_THREADS, if that is no number of threads, and so was ignored.
std::string ignored_omp_num_threads();

}  // namespace qkern::threading
