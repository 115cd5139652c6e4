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

// What a result needs of an Epilogue, by value: stores of bytes may alias anything, and would make the loop read it again.
template <class Simd>
struct Bounds {
  typename Simd::F32 low, high;  // int8 results: as real numbers from zero_point; float results: the clamp
  std::int32_t code_base;        // turns the bits of a rounded number into its code

  explicit Bounds(const Epilogue& e) : code_base(e.zero_point - elementwise::rounding_bits) {
    const bool codes = e.kind == DType::Int8 || e.kind == DType::Uint8;
    low = typename Simd::F32{} + (codes ? static_cast<float>(e.low - e.zero_point) : e.float_low);
    high = typename Simd::F32{} + (codes ? static_cast<float>(e.high - e.zero_point) : e.float_high);
  }
};

// Two vectors become bytes together where the tier can do that with fewer instructions.
template <class Simd, class Out>
concept StoresPairs = sizeof(Out) == 1 && requires(typename Simd::I32 value, Out* out) {
  Simd::store_bytes_of_two(value, value, out);
};

// `Vectors` vectors of columns from `col` on: acc + offset, then what `kind` says. What belongs to a column stays in registers over
// the rows.
template <class Simd, class Out, int Vectors>
class Columns {
  using Bits = typename Simd::U32;  // unsigned: the sum wraps
  using Floats = typename Simd::F32;

 public:
  Columns(const Epilogue& e, Index col, std::int32_t) {
    for (int v = 0; v < Vectors; ++v) offset_[v] = load<Bits>(e.column_offset + col + v * Simd::lanes);
    if constexpr (!std::is_same_v<Out, std::int32_t>) {
      for (int v = 0; v < Vectors; ++v) factor_[v] = load<Floats>(e.multiplier + col + v * Simd::lanes);
    }
  }
  Columns(const Epilogue& e, Index col, float) {
    for (int v = 0; v < Vectors; ++v) factor_[v] = load<Floats>(e.bias + col + v * Simd::lanes);
  }

  [[gnu::always_inline]] void finish(const Bounds<Simd>& bounds, const std::int32_t* acc, Out* out) const {
    if constexpr (Vectors == 2 && StoresPairs<Simd, Out>) {
      Simd::store_bytes_of_two(codes(bounds, acc, 0), codes(bounds, acc, 1), out);
    } else {
      for (int v = 0; v < Vectors; ++v) {
        if constexpr (std::is_same_v<Out, std::int32_t>) put(sum(acc, v), out + v * Simd::lanes);
        else if constexpr (std::is_same_v<Out, float>) put(scaled(acc, v), out + v * Simd::lanes);
        else Simd::store_bytes(codes(bounds, acc, v), out + v * Simd::lanes);
      }
    }
  }
  [[gnu::always_inline]] void finish(const Bounds<Simd>& bounds, const float* acc, Out* out) const {
    static_assert(std::is_same_v<Out, float>);
    for (int v = 0; v < Vectors; ++v) {
      Floats value = load<Floats>(acc + v * Simd::lanes) + factor_[v];
      value = value == value ? value : Floats{} + __builtin_nanf("");  // one NaN: which of two a sum keeps is the compiler's choice
      value = value < bounds.low ? bounds.low : value;                 // NaN passes, as np.clip
      value = value > bounds.high ? bounds.high : value;
      put(value, out + v * Simd::lanes);
    }
  }

 private:
  template <class Vector>
  static void put(const Vector& value, void* to) {
    std::memcpy(to, &value, sizeof value);
  }
  Bits sum(const std::int32_t* acc, int v) const { return load<Bits>(acc + v * Simd::lanes) + offset_[v]; }
  Floats scaled(const std::int32_t* acc, int v) const {
    return __builtin_convertvector(reinterpret_cast<typename Simd::I32>(sum(acc, v)), Floats) * factor_[v];
  }
  typename Simd::I32 codes(const Bounds<Simd>& bounds, const std::int32_t* acc, int v) const {
    return elementwise::rounded_bits<Simd>(scaled(acc, v), bounds.low, bounds.high) + bounds.code_base;
  }

  Bits offset_[Vectors] = {};
  Floats factor_[Vectors] = {};
};

// Columns in whole vectors; a narrower rest goes through a buffer (the per-column arrays are padded).
template <class Simd, class Out, class Acc>
void finish_rows(const Epilogue& e, const Acc* tile, Index stride, Range rows, Range cols) {
  constexpr Index lanes = Simd::lanes;
  const Bounds<Simd> bounds(e);
  const Index count = cols.end - cols.begin, row_count = rows.end - rows.begin, row_stride = e.row_stride;
  const auto walk = [&](const auto& columns, Index c, Out* out) {
    const Acc* from = tile + c;
    for (Index r = 0; r < row_count; ++r, from += stride, out += row_stride) columns.finish(bounds, from, out);
  };
  Out* out = static_cast<Out*>(e.out) + rows.begin * row_stride + cols.begin;
  Index c = 0;
  for (; c + 2 * lanes <= count; c += 2 * lanes) walk(Columns<Simd, Out, 2>(e, cols.begin + c, Acc{}), c, out + c);
  for (; c + lanes <= count; c += lanes) walk(Columns<Simd, Out, 1>(e, cols.begin + c, Acc{}), c, out + c);
  if (c == count) return;
  const Columns<Simd, Out, 1> columns(e, cols.begin + c, Acc{});
  for (Index r = 0; r < row_count; ++r) {
    Out last[lanes];
    columns.finish(bounds, tile + r * stride + c, last);
    std::memcpy(out + r * row_stride + c, last, static_cast<std::size_t>(count - c) * sizeof(Out));
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
