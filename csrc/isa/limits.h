// What a tier reaches at best: loops that multiply in registers and do nothing else, and one that reads and does nothing else.
// Included by the tiers' own files only.
//
// A step is what one vector of products costs a kernel at the least. A tier's Int8Products and Float32Products say so:
//   Vector                  its registers
//   instructions            their names, for reports
//   products                of a step
//   add(sum, a, b) -> sum   the step
#pragma once

#include "isa/kernel_table.h"

namespace qkern::isa {
namespace {  // internal linkage: each tier compiles its own copy

// Emits nothing; the compiler takes `value` for changed, so that it neither folds steps into one nor leaves any out.
template <class Vector>
[[gnu::always_inline]] inline void changed(Vector& value) {
  Vector held = value;  // a copy: what an asm statement names of an array would keep the array in memory
#if defined(__AVX512F__)
  asm volatile("" : "+v"(held));
#elif defined(__x86_64__)
  if constexpr (sizeof(Vector) <= 32) asm volatile("" : "+x"(held));
  else asm volatile("" : "+m"(held));  // emulated
#elif defined(__aarch64__)
  asm volatile("" : "+w"(held));
#else
  asm volatile("" : "+m"(held));
#endif
  value = held;
}

template <class Simd>
struct VectorProducts {
  using Vector = typename Simd::F32;
  static constexpr const char* instructions = Simd::multiply_add_instruction;
  static constexpr int products = Simd::lanes;
  static Vector add(Vector sum, Vector a, Vector b) { return Simd::multiply_add(a, b, sum); }
};

template <class Step>
struct LoopInRegisters {
#if defined(__AVX512F__) || defined(__aarch64__)  // 32 registers
  static constexpr int sums = 24;
#else
  static constexpr int sums = 12;
#endif

  static void run(Index rounds) {
    using Vector = typename Step::Vector;
    Vector a, b, sum[sums] = {};
    __builtin_memset(&a, 0x3f, sizeof a);  // plain numbers, as floats too
    __builtin_memset(&b, 0x3f, sizeof b);
    for (Index round = 0; round < rounds; ++round) {
#pragma GCC unroll 24
      for (int i = 0; i < sums; ++i) {
        changed(a);
        changed(b);
        sum[i] = Step::add(sum[i], a, b);
        changed(sum[i]);
      }
    }
  }
  static constexpr RegisterLoop loop{Step::instructions, Index{2} * Step::products* sums, &run};
};

// The exclusive or of all bytes, by whole vectors in eight chains.
template <class Simd>
std::uint8_t read_bytes(const unsigned char* data, Index size) {
  constexpr int chains = 8;
  constexpr Index vector = sizeof(typename Simd::U32);
  using Loose [[gnu::vector_size(sizeof(typename Simd::U32)), gnu::aligned(1), gnu::may_alias]] = std::uint32_t;
  typename Simd::U32 found[chains] = {};
  Index at = 0;
  for (; at + chains * vector <= size; at += chains * vector) {
#pragma GCC unroll 8
    for (int i = 0; i < chains; ++i) found[i] ^= *reinterpret_cast<const Loose*>(data + at + i * vector);
  }
#pragma GCC unroll 8
  for (int i = 1; i < chains; ++i) found[0] ^= found[i];
  std::uint32_t words = 0;
  for (int i = 0; i < Simd::lanes; ++i) words ^= found[0][i];
  words ^= words >> 16;
  words ^= words >> 8;
  for (; at < size; ++at) words ^= data[at];
  return static_cast<std::uint8_t>(words);
}

template <class Tier>
constexpr RegisterLoop make_safe_loop() {
  if constexpr (requires { typename Tier::Int8SafeProducts; }) return LoopInRegisters<typename Tier::Int8SafeProducts>::loop;
  else return LoopInRegisters<typename Tier::Int8Products>::loop;
}

template <class Tier>
constexpr Limits make_limits() {
  return {LoopInRegisters<typename Tier::Int8Products>::loop, make_safe_loop<Tier>(), LoopInRegisters<typename Tier::Float32Products>::loop,
          &read_bytes<typename Tier::Simd>};
}

}  // namespace
}  // namespace qkern::isa
