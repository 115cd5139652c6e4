// The threads that parallel_for shares loops with.
//
// A loop is a job on the stack of the thread that calls, its chunks a range in one of the pool's slots. Whoever wants a chunk takes it
// off the range by compare-and-swap: the caller from the front, workers from the back, so that two threads keep to their halves of the
// data from loop to loop. A worker that has a chunk of a job may read the job: it can't end before that chunk is counted as finished.
// Without chunk, a worker reads the range only. When the range is empty, the caller waits for the chunks that workers have claimed and
// not finished, and for nothing else: a worker that the system doesn't run holds up nobody before it has claimed something.
//
// All state is constant-initialized and never destroyed, and workers are detached: at exit there is nothing to wait for.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <thread>

#include "threading/futex.h"
#include "threading/parallel_for.h"
#include "threading/step_aside.h"

#if __has_include(<pthread.h>) && !defined(_WIN32)
#include <pthread.h>
#include <signal.h>
#define QKERN_POSIX_THREADS
#endif

namespace qkern::threading {
namespace {

using Clock = std::chrono::steady_clock;

// How long a worker looks for the next job, and a caller for the end of the last chunk, before it sleeps (docs/decisions/0040-thread-pool.md).
constexpr std::chrono::microseconds patience{50};

// The chunks that nobody has claimed, and how many more workers may join: one number, so that a claim is one compare-and-swap.
struct Range {
  std::uint64_t seats, begin, end;

  static constexpr std::uint64_t most = 0xffff;
  static Range of(std::uint64_t bits) { return {bits >> 32, bits >> 16 & most, bits & most}; }
  std::uint64_t bits() const { return seats << 32 | begin << 16 | end; }
};

struct Job {
  Body body;
  const void* context;
  Index items, chunks;
  std::atomic<bool> failed{false};
  std::exception_ptr failure;

  void run(Index chunk) {
    try {
      body(context, items * chunk / chunks, items * (chunk + 1) / chunks);
    } catch (...) {
      if (!failed.exchange(true)) failure = std::current_exception();
    }
  }
};

struct alignas(64) Slot {
  std::atomic<bool> taken{false};
  std::atomic<std::uint64_t> range{0};
  Job* job = nullptr;
  alignas(64) Futex finished{0};  // chunks, by workers
  std::atomic<bool> caller_sleeps{false};
};

constexpr int slots = 64;  // threads that share loops at the same time; more work alone

struct Pool {
  Slot slot[slots];
  std::atomic<int> used_slots{0};  // those behind have never been taken
  std::atomic<int> workers{0};
  std::atomic<bool> growing{false};
  std::atomic<Clock::rep> grows_from{0};  // a time
  alignas(64) Futex jobs{0};              // goes up with each new one
  std::atomic<int> processor{-1};         // of the caller of the latest
  std::atomic<int> caller{0};             // its number_of_this_thread()
  std::atomic<int> looking{0}, sleeping{0};
};

constinit Pool pool;

// Whether this thread is a worker, or in a job that it shares: what it calls there isn't shared once more.
thread_local bool inside = false;

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");  // yield is a no-op on most
#endif
}

// A thread that got no help with several loops in a row shares no short ones for a while (docs/decisions/0043-waiting.md).
struct Help {
  static constexpr int enough = 6, loops = 24;
  static constexpr double long_loop = 8.0 * static_cast<double>(chunk_work);
  int in_vain = 0, pause = 0;

  bool is_paused(double units) {
    if (pause == 0 || units >= long_loop) return false;
    --pause;
    return true;
  }
  void asked(bool came) {
    in_vain = came ? 0 : in_vain + 1;
    if (in_vain >= enough) in_vain = enough - 2, pause = loops;
  }
};
thread_local Help of_workers;

template <class Done>
bool comes_true_soon(const Done& done) {
  const auto until = Clock::now() + patience;
  do {
    for (int i = 0; i < 16; ++i) {
      if (done()) return true;
      pause();
    }
  } while (Clock::now() < until);
  return done();
}

// The claimed chunk, or -1.
Index claim_first(Slot& slot) {
  std::uint64_t bits = slot.range.load(std::memory_order_relaxed);
  for (;;) {
    Range range = Range::of(bits);
    if (range.begin >= range.end) return -1;
    const auto chunk = static_cast<Index>(range.begin++);
    if (slot.range.compare_exchange_weak(bits, range.bits(), std::memory_order_acq_rel, std::memory_order_relaxed)) return chunk;
  }
}

Index claim_last(Slot& slot, std::uint64_t seats) {
  std::uint64_t bits = slot.range.load(std::memory_order_relaxed);
  for (;;) {
    Range range = Range::of(bits);
    if (range.begin >= range.end || range.seats < seats) return -1;
    range.seats -= seats;
    const auto chunk = static_cast<Index>(--range.end);
    if (slot.range.compare_exchange_weak(bits, range.bits(), std::memory_order_acq_rel, std::memory_order_relaxed)) return chunk;
  }
}

// Works on the slot's job as long as there are chunks; false where there was none, or no seat.
bool help(Slot& slot) {
  Index chunk = claim_last(slot, 1);
  if (chunk < 0) return false;
  Job& job = *slot.job;
  std::uint32_t finished = 0;
  for (; chunk >= 0; chunk = claim_last(slot, 0)) job.run(chunk), ++finished;
  slot.finished.fetch_add(finished);
  // The job may have ended: from here on this is about the slot, and waking the caller of its next job does no harm.
  if (slot.caller_sleeps.load()) wake(slot.finished, 1);
  return true;
}

// The order of the counts is what share() relies on: a worker that it doesn't see finds the number of jobs changed, and doesn't sleep.
[[noreturn]] void work() {
  inside = true;
  StepAside step_aside;
  for (;;) {
    const std::uint32_t seen = pool.jobs.load();
    if (step_aside.from(pool.processor.load(std::memory_order_relaxed), pool.caller.load(std::memory_order_relaxed))) {
      bool helped = false;
      for (int i = 0, count = pool.used_slots.load(); i < count; ++i) helped |= help(pool.slot[i]);
      if (helped) continue;
      pool.looking.fetch_add(1);
      const bool found = comes_true_soon([&] { return pool.jobs.load(std::memory_order_relaxed) != seen; });
      pool.looking.fetch_sub(1);
      if (found) continue;
    }
    pool.sleeping.fetch_add(1);
    sleep_while(pool.jobs, seen);
    pool.sleeping.fetch_sub(1);
  }
}

#ifdef QKERN_POSIX_THREADS
// A thread starts with its creator's mask. Signals are for threads that know what to do with them.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

// Of the pool's threads a forked process has none, and of its jobs none goes on.
void forget_parent() {
  own_number = 0;
  for (Slot& slot : pool.slot) {
    slot.range.store(0);
    slot.caller_sleeps.store(false);
    slot.taken.store(false);
  }
  pool.workers.store(0);
  pool.looking.store(0);
  pool.sleeping.store(0);
  pool.growing.store(false);
}

[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, forget_parent);
#else
struct SignalsBlocked {};
#endif

// Makes workers up to `count`; what the system doesn't give is done without, and asked for again a second later.
void grow(int count) {
  if (Clock::now().time_since_epoch().count() < pool.grows_from.load() || pool.growing.exchange(true)) return;
  try {
    [[maybe_unused]] const SignalsBlocked blocked;
    while (pool.workers.load() < count) {
      std::thread(work).detach();
      pool.workers.fetch_add(1);
    }
  } catch (const std::exception&) {
    pool.grows_from.store((Clock::now() + std::chrono::seconds(1)).time_since_epoch().count());
  }
  pool.growing.store(false);
}

int workers_up_to(int count) {
  if (pool.workers.load(std::memory_order_relaxed) < count) grow(count);
  return std::min(count, pool.workers.load(std::memory_order_relaxed));
}

Slot* free_slot() {
  for (int i = 0; i < slots; ++i) {
    Slot& slot = pool.slot[i];
    if (slot.taken.load(std::memory_order_relaxed) || slot.taken.exchange(true)) continue;
    int used = pool.used_slots.load();
    while (used <= i && !pool.used_slots.compare_exchange_weak(used, i + 1)) {
    }
    return &slot;
  }
  return nullptr;
}

void wait_for(Slot& slot, std::uint32_t finished) {
  const auto done = [&] { return slot.finished.load() == finished; };
  if (done() || comes_true_soon(done)) return;
  slot.caller_sleeps.store(true);
  for (std::uint32_t seen; (seen = slot.finished.load()) != finished;) sleep_while(slot.finished, seen);
  slot.caller_sleeps.store(false);
}

// The threads that the work is worth, and chunks that keep them busy to the end.
struct Split {
  int threads;
  Index chunks;
};

Split split(Index items, double units) {
  const int threads = static_cast<int>(std::min({static_cast<double>(num_threads()), static_cast<double>(items), units / worth_a_thread + 1}));
  constexpr Index each = 4;  // chunks of a thread, at least
  const double chunks = std::max(units / static_cast<double>(chunk_work), static_cast<double>(each * threads));
  return {threads, static_cast<Index>(std::min({chunks, static_cast<double>(items), static_cast<double>(Range::most)}))};
}

}  // namespace

void share(Index items, Index work_per_item, Body body, const void* context) {
  if (inside) return body(context, 0, items);
  const double units = static_cast<double>(items) * static_cast<double>(work_per_item);
  if (of_workers.is_paused(units)) return body(context, 0, items);
  const Split split_ = split(items, units);
  const int helpers = split_.threads > 1 ? workers_up_to(split_.threads - 1) : 0;
  Slot* const slot = helpers > 0 ? free_slot() : nullptr;
  if (slot == nullptr) return body(context, 0, items);

  Job job{body, context, items, split_.chunks, {}, {}};
  slot->job = &job;
  slot->finished.store(0, std::memory_order_relaxed);
  slot->range.store(Range{static_cast<std::uint64_t>(helpers), 0, static_cast<std::uint64_t>(job.chunks)}.bits(), std::memory_order_release);
  pool.processor.store(current_processor(), std::memory_order_relaxed);
  pool.caller.store(number_of_this_thread(), std::memory_order_relaxed);
  pool.jobs.fetch_add(1);
  const int missing = helpers - pool.looking.load();
  if (missing > 0 && pool.sleeping.load() > 0) wake(pool.jobs, missing);

  inside = true;
  Index own = 0;
  for (Index chunk; (chunk = claim_first(*slot)) >= 0; ++own) job.run(chunk);
  inside = false;
  wait_for(*slot, static_cast<std::uint32_t>(job.chunks - own));
  slot->taken.store(false, std::memory_order_release);
  of_workers.asked(own < job.chunks);
  if (job.failure) std::rethrow_exception(job.failure);
}

}  // namespace qkern::threading
