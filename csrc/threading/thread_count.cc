#include "threading/thread_count.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string_view>

#include "threading/cpu_quota.h"

namespace qkern::threading {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// A number from 1 on.
std::optional<int> count_in(std::string_view text) {
  constexpr std::string_view blank = " \t";
  text.remove_prefix(std::min(text.find_first_not_of(blank), text.size()));
  text.remove_suffix(text.size() - (text.find_last_not_of(blank) + 1));
  if (text.empty() || text.find_first_not_of("0123456789") != text.npos) return {};
  int count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error == std::errc::result_out_of_range) return most_threads;
  return count >= 1 ? std::optional(count) : std::nullopt;
}

// The variable may list a number for each level of nesting; the first is ours.
std::optional<int> omp_count() {
  const std::string text = environment("OMP_NUM_THREADS");
  return count_in(std::string_view(text).substr(0, text.find(',')));
}

int initial_threads() {
  int count = std::min(most_threads, usable_processors());
  if (const auto quota = cpu_quota()) count = static_cast<int>(std::min(static_cast<double>(count), std::ceil(*quota)));
  std::optional<int> asked = omp_count();
  if (const std::string text = environment("QKERN_NUM_THREADS"); !text.empty()) {
    asked = count_in(text);
    if (!asked) throw std::runtime_error("QKERN_NUM_THREADS: '" + text + "' is not a number of threads, from 1 on");
  }
  return asked ? std::min(count, *asked) : count;
}

std::atomic<int>& setting() {
  static std::atomic<int> count{initial_threads()};
  return count;
}

thread_local int limit = 0;

}  // namespace

int num_threads() { return limit > 0 ? limit : setting().load(std::memory_order_relaxed); }
void set_num_threads(int count) { setting().store(std::clamp(count, 1, most_threads), std::memory_order_relaxed); }

int limit_num_threads(int count) {
  const int before = limit;
  limit = std::clamp(count, 0, most_threads);
  return before;
}

std::string ignored_omp_num_threads() {
  const std::string text = environment("OMP_NUM_THREADS");
  return text.empty() || omp_count() || !environment("QKERN_NUM_THREADS").empty() ? "" : text;
}

}  // namespace qkern::threading

// For threadpoolctl, which finds them by name (python/qkern/threadpoolctl_controller.py).
#ifdef _WIN32
#define QKERN_EXPORT __declspec(dllexport)
#else
#define QKERN_EXPORT __attribute__((visibility("default")))
#endif
extern "C" {
QKERN_EXPORT int qkern_get_num_threads() { return qkern::threading::num_threads(); }
QKERN_EXPORT void qkern_set_num_threads(int count) { qkern::threading::set_num_threads(count); }
}
