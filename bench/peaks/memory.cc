// Bandwidths: what reading and copying take when nothing is computed. `repeats` makes one call long enough to time.
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(_OPENMP)
#include <omp.h>
#endif

#if defined(__x86_64__)
#define WIDEST __attribute__((target_clones("avx2", "default"), noinline))
#else
#define WIDEST __attribute__((noinline))
#endif

namespace {

typedef std::uint64_t Vector __attribute__((vector_size(32), aligned(1), may_alias));

WIDEST
std::uint64_t sum_of(const unsigned char* data, std::size_t size) {
  Vector sum[8] = {};
  std::size_t at = 0;
  for (; at + 256 <= size; at += 256) {
    for (int i = 0; i < 8; ++i) sum[i] ^= *reinterpret_cast<const Vector*>(data + at + 32 * i);
  }
  Vector all = {};
  for (const Vector& each : sum) all ^= each;
  std::uint64_t result = all[0] ^ all[1] ^ all[2] ^ all[3];
  for (; at < size; ++at) result ^= data[at];
  return result;
}

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

// This thread's part of `size`, in whole lines.
struct Part {
  std::size_t begin, end;
};
Part part_of(std::size_t size) {
#if defined(_OPENMP)
  const std::size_t count = omp_get_num_threads(), index = omp_get_thread_num();
#else
  const std::size_t count = 1, index = 0;
#endif
  const std::size_t step = (size / count + 63) / 64 * 64;
  const std::size_t begin = index * step < size ? index * step : size;
  return {begin, index + 1 == count || begin + step > size ? size : begin + step};
}

}  // namespace

extern "C" {

std::uint64_t read_memory(const unsigned char* data, std::size_t size, int repeats, int threads) {
  std::uint64_t all = 0;
#pragma omp parallel num_threads(threads) reduction(^ : all)
  {
    const Part part = part_of(size);
    for (int i = 0; i < repeats; ++i) {
      all ^= sum_of(data + part.begin, part.end - part.begin);
      asm volatile("" ::: "memory");
    }
  }
  return all;
}

void copy_memory(unsigned char* to, const unsigned char* from, std::size_t size, int repeats, int threads) {
#pragma omp parallel num_threads(threads)
  {
    const Part part = part_of(size);
    for (int i = 0; i < repeats; ++i) copy_plainly(to + part.begin, from + part.begin, part.end - part.begin);
  }
}

void copy_memory_libc(unsigned char* to, const unsigned char* from, std::size_t size, int repeats, int threads) {
#pragma omp parallel num_threads(threads)
  {
    const Part part = part_of(size);
    for (int i = 0; i < repeats; ++i) {
      std::memcpy(to + part.begin, from + part.begin, part.end - part.begin);
      asm volatile("" ::: "memory");
    }
  }
}
}
