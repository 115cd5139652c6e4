// Sleeping until a number changes.
#pragma once

#include <atomic>
#include <cstdint>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#endif

namespace qkern::threading {

using Futex = std::atomic<std::uint32_t>;

// The system call itself where there is one: std::atomic::wait yields the processor before it sleeps, which on a busy machine costs
// this thread its turn, and counts those who sleep in a place of its own, which a forked process inherits.

// Returns when `word` isn't `seen`, when woken, or for no reason.
inline void sleep_while(Futex& word, std::uint32_t seen) {
#ifdef __linux__
  static_assert(sizeof(Futex) == 4 && Futex::is_always_lock_free);
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
#else
  word.wait(seen);
#endif
}

inline void wake(Futex& word, int sleepers) {
#ifdef __linux__
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, sleepers, nullptr, nullptr, 0);
#else
  if (sleepers == 1) word.notify_one();
  else word.notify_all();
#endif
}

}  // namespace qkern::threading
