// What copying takes when nothing is computed. `repeats` makes one call long enough to time.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "on_threads.h"

#if defined(__x86_64__)
#define WIDEST __attribute__((target_clones("avx2", "default"), noinline))
#else
#define WIDEST __attribute__((noinline))
#endif

namespace {

typedef std::uint64_t Vector __attribute__((vector_size(32), aligned(1), may_alias));

WIDEST
void copy_plainly(unsigned char* to, const unsigned char* from, std::size_t size) {
  std::size_t at = 0;
  for (; at + 128 <= size; at += 128) {
    Vector part[4];
    for (int i = 0; i < 4; ++i) part[i] = *reinterpret_cast<const Vector*>(from + at + 32 * i);
    for (int i = 0; i < 4; ++i) *reinterpret_cast<Vector*>(to + at + 32 * i) = part[i];
    asm volatile("" ::: "memory");  // no call of memcpy in its place
  }
  std::memcpy(to + at, from + at, size - at);
}

// The part of `size` that thread `index` of `count` has, in whole lines.
struct Part {
  std::size_t begin, end;
};
Part part_of(std::size_t size, std::size_t index, std::size_t count) {
  const std::size_t step = (size / count + 63) / 64 * 64;
  const std::size_t begin = index * step < size ? index * step : size;
  return {begin, index + 1 == count || begin + step > size ? size : begin + step};
}

}  // namespace

extern "C" {

void copy_memory(unsigned char* to, const unsigned char* from, std::size_t size, int repeats, int threads) {
  on_threads(threads, [&](int index) {
    const Part part = part_of(size, index, threads);
    for (int i = 0; i < repeats; ++i) copy_plainly(to + part.begin, from + part.begin, part.end - part.begin);
  });
}

void copy_memory_libc(unsigned char* to, const unsigned char* from, std::size_t size, int repeats, int threads) {
  on_threads(threads, [&](int index) {
    const Part part = part_of(size, index, threads);
    for (int i = 0; i < repeats; ++i) {
      std::memcpy(to + part.begin, from + part.begin, part.end - part.begin);
      asm volatile("" ::: "memory");
    }
  });
}
}
