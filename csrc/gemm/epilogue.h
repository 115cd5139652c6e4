// Accumulators -> output, one tile at a time. Equations: gemm.h, Epilogue; docs/quantization.md.
//
// Simd is the tier's vector type (isa/kernel_table.h).
#pragma once

#include <cstring>
#include <type_traits>

#include "elementwise/rounding.h"
#include "gemm/gemm.h"

namespace qkern::gemm {
namespace {  // internal linkage: each tier compiles its own copy

template <class Vector>
[[gnu::always_inline]] inline Vector load(const void* from) {
  Vector value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

inline void add_rank_one(const Epilogue& e, std::int32_t* tile, Index stride, Range rows, Range cols) {
  for (int t = 0; t < e.term_count; ++t) {
    for (Index r = rows.begin; r < rows.end; ++r) {
      const auto factor = static_cast<std::uint32_t>(e.terms[t].row[r]);
      std::int32_t* to = tile + (r - rows.begin) * stride;
      for (Index c = 0; c < cols.end - cols.begin; ++c) {
        to[c] = static_cast<std::int32_t>(static_cast<std::uint32_t>(to[c]) + factor * static_cast<std::uint32_t>(e.terms[t].col[cols.begin + c]));
      }
    }
  }
}

// One vector of columns: acc + offset, then what `kind` says.
template <class Simd, class Out>
[[gnu::always_inline]] inline void finish_vector(const Epilogue& e, const std::int32_t* acc, Index col, Out* out) {
  using Bits = typename Simd::U32;  // unsigned: the sum wraps
  using Floats = typename Simd::F32;
  const auto sum = load<Bits>(acc) + load<Bits>(e.column_offset + col);
  if constexpr (std::is_same_v<Out, std::int32_t>) {
    std::memcpy(out, &sum, sizeof sum);
  } else {
    const Floats value = __builtin_convertvector(reinterpret_cast<typename Simd::I32>(sum), Floats) * load<Floats>(e.multiplier + col);
    if constexpr (std::is_same_v<Out, float>) {
      std::memcpy(out, &value, sizeof value);
    } else {
      const auto low = static_cast<float>(e.low - e.zero_point), high = static_cast<float>(e.high - e.zero_point);
      Simd::store_bytes(elementwise::round_clamped<Simd>(value, low, high) + e.zero_point, out);
    }
  }
}

template <class Simd, class Out>
[[gnu::always_inline]] inline void finish_vector(const Epilogue& e, const float* acc, Index col, Out* out) {
  static_assert(std::is_same_v<Out, float>);
  using Floats = typename Simd::F32;
  Floats value = load<Floats>(acc) + load<Floats>(e.bias + col);
  const Floats low = Floats{} + e.float_low, high = Floats{} + e.float_high;
  value = value < low ? low : value;  // NaN passes, as np.clip
  value = value > high ? high : value;
  std::memcpy(out, &value, sizeof value);
}

// The tile's columns in whole vectors; a narrower rest goes through a buffer (the per-column arrays are padded).
template <class Simd, class Out, class Acc>
void finish_rows(const Epilogue& e, const Acc* tile, Index stride, Range rows, Range cols) {
  constexpr Index lanes = Simd::lanes;
  const Index count = cols.end - cols.begin, whole = count / lanes * lanes;
  for (Index r = rows.begin; r < rows.end; ++r) {
    const Acc* from = tile + (r - rows.begin) * stride;
    Out* to = static_cast<Out*>(e.out) + r * e.row_stride + cols.begin;
    for (Index c = 0; c < whole; c += lanes) finish_vector<Simd>(e, from + c, cols.begin + c, to + c);
    if (whole < count) {
      Out last[lanes];
      finish_vector<Simd>(e, from + whole, cols.begin + whole, last);
      std::memcpy(to + whole, last, static_cast<std::size_t>(count - whole) * sizeof(Out));
    }
  }
}

// tile: rows at `stride` accumulators.
template <class Simd>
void finish_tile(const Epilogue& e, std::int32_t* tile, Index stride, Range rows, Range cols) {
  if (e.term_count > 0) add_rank_one(e, tile, stride, rows, cols);
  switch (e.kind) {
    case DType::Int32: return finish_rows<Simd, std::int32_t>(e, tile, stride, rows, cols);
    case DType::Uint8: return finish_rows<Simd, std::uint8_t>(e, tile, stride, rows, cols);
    case DType::Int8: return finish_rows<Simd, std::int8_t>(e, tile, stride, rows, cols);
    case DType::Float32: return finish_rows<Simd, float>(e, tile, stride, rows, cols);
  }
}

template <class Simd>
void finish_tile(const Epilogue& e, float* tile, Index stride, Range rows, Range cols) {
  finish_rows<Simd, float>(e, tile, stride, rows, cols);
}

}  // namespace
}  // namespace qkern::gemm
