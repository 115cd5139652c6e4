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

// Where the tier makes codes of two rows of two vectors with fewer instructions than one by one: Simd::Codes.
template <class Simd, class Out>
concept MakesCodes = sizeof(Out) == 1 && requires {
  typename Simd::template Codes<Out>;
};

template <class Simd, class Out, bool Packed>
struct CodeBounds : Bounds<Simd> {
  using Bounds<Simd>::Bounds;
};
template <class Simd, class Out>
struct CodeBounds<Simd, Out, true> : Bounds<Simd> {
  typename Simd::template Codes<Out> make;
  explicit CodeBounds(const Epilogue& e) : Bounds<Simd>(e), make(e.zero_point, e.low, e.high) {}
};

// `Vectors` vectors of columns from `col` on: acc + offset, then what `kind` says. What belongs to a column stays in registers over
// the rows. `Started`: acc holds the offset already.
template <class Simd, class Out, int Vectors, bool Started = false>
class Columns {
  using Bits = typename Simd::U32;  // unsigned: the sum wraps
  using Floats = typename Simd::F32;

 public:
  Columns(const Epilogue& e, Index col, std::int32_t) {
    for (int v = 0; v < Vectors && !Started; ++v) offset_[v] = load<Bits>(e.column_offset + col + v * Simd::lanes);
    if constexpr (!std::is_same_v<Out, std::int32_t>) {
      for (int v = 0; v < Vectors; ++v) factor_[v] = load<Floats>(e.multiplier + col + v * Simd::lanes);
    }
  }
  Columns(const Epilogue& e, Index col, float) {
    for (int v = 0; v < Vectors; ++v) factor_[v] = load<Floats>(e.bias + col + v * Simd::lanes);
  }

  [[gnu::always_inline]] void finish(const Bounds<Simd>& bounds, const std::int32_t* acc, Out* out) const {
    for (int v = 0; v < Vectors; ++v) {
      if constexpr (std::is_same_v<Out, std::int32_t>) put(sum(acc, v), out + v * Simd::lanes);
      else if constexpr (std::is_same_v<Out, float>) put(scaled(acc, v), out + v * Simd::lanes);
      else Simd::store_bytes(codes(bounds, acc, v), out + v * Simd::lanes);
    }
  }
  // Two rows.
  [[gnu::always_inline]] void finish(const CodeBounds<Simd, Out, true>& bounds, const std::int32_t* acc0, const std::int32_t* acc1, Out* out0,
                                     Out* out1) const {
    bounds.make.store(scaled(acc0, 0), scaled(acc0, 1), scaled(acc1, 0), scaled(acc1, 1), out0, out1);
  }
  [[gnu::always_inline]] void finish(const Bounds<Simd>& bounds, const float* acc, Out* out) const {
    static_assert(std::is_same_v<Out, float>);
    for (int v = 0; v < Vectors; ++v) {
      put(result(bounds, load<Floats>(acc + v * Simd::lanes), v), out + v * Simd::lanes);
    }
  }
  [[gnu::always_inline]] Floats result(const Bounds<Simd>& bounds, Floats acc, int v) const {
    Floats value = acc + factor_[v];
    value = value == value ? value : Floats{} + __builtin_nanf("");  // one NaN: which of two a sum keeps is the compiler's choice
    value = value < bounds.low ? bounds.low : value;                 // NaN passes, as np.clip
    return value > bounds.high ? bounds.high : value;
  }

 private:
  template <class Vector>
  static void put(const Vector& value, void* to) {
    std::memcpy(to, &value, sizeof value);
  }
  Bits sum(const std::int32_t* acc, int v) const {
    const Bits value = load<Bits>(acc + v * Simd::lanes);
    return Started ? value : value + offset_[v];
  }
  Floats scaled(const std::int32_t* acc, int v) const {
    return __builtin_convertvector(reinterpret_cast<typename Simd::I32>(sum(acc, v)), Floats) * factor_[v];
  }
  typename Simd::I32 codes(const Bounds<Simd>& bounds, const std::int32_t* acc, int v) const {
    return elementwise::rounded_bits<Simd>(scaled(acc, v), bounds.low, bounds.high) + bounds.code_base;
  }

  Bits offset_[Vectors] = {};
  Floats factor_[Vectors] = {};
};

// Finishes tiles: what is the same for all of them is set up once. `Packed`: by Simd::Codes, for which all scaled sums have to fit int32.
template <class Simd, class Out, class Acc, bool Packed = false>
class TileFinisher {
 public:
  explicit TileFinisher(const Epilogue& e) : e_(e), bounds_(e) {}

  // Asks for the lines that a tile will be written to.
  [[gnu::always_inline]] void prefetch(Range rows, Index col, Index cols) const {
    const char* out = reinterpret_cast<const char*>(static_cast<const Out*>(e_.out) + rows.begin * e_.row_stride + col);
    const Index bytes = cols * Index{sizeof(Out)}, step = e_.row_stride * Index{sizeof(Out)};
    for (Index r = rows.begin; r < rows.end; ++r, out += step) {
      for (Index at = 0; at < bytes; at += 64) __builtin_prefetch(out + at, 1);
      if (bytes >= 64) __builtin_prefetch(out + bytes - 1, 1);  // rows need not start with a line
    }
  }
  Index row_bytes() const { return e_.row_stride * Index{sizeof(Out)}; }
  static constexpr Index bytes_of(Index cols) { return cols * Index{sizeof(Out)}; }

  // tile: rows at `stride` accumulators. Columns in whole vectors; a narrower rest goes through a buffer (the per-column arrays
  // are padded).
  [[gnu::always_inline]] void operator()(Acc* tile, Index stride, Range rows, Range cols) const {
    if constexpr (std::is_same_v<Acc, std::int32_t>) {
      if (e_.term_count > 0) add_rank_one(e_, tile, stride, rows, cols);
    }
    finish_all<false>(tile, stride, rows, cols);
  }

  // The same for a tile of `Rows` x `Cols` whose sums started at column_offset(), where there are no rank-one terms. It can have been
  // in registers all the time.
  template <Index Rows, Index Cols>
  [[gnu::always_inline]] void started(const Acc* tile, Index row, Index col) const {
    finish_all<true>(tile, Cols, {row, row + Rows}, {col, col + Cols});
  }
  bool has_no_terms() const { return e_.term_count == 0; }
  const std::int32_t* column_offset() const { return e_.column_offset; }

 private:
  template <bool Started>
  [[gnu::always_inline]] void finish_all(const Acc* tile, Index stride, Range rows, Range cols) const {
    constexpr Index lanes = Simd::lanes;
    const Index count = cols.end - cols.begin, row_count = rows.end - rows.begin;
    Out* out = static_cast<Out*>(e_.out) + rows.begin * e_.row_stride + cols.begin;
    Index c = 0;
    for (; c + 2 * lanes <= count; c += 2 * lanes) finish_rows<2, Started>(tile + c, stride, row_count, cols.begin + c, out + c);
    for (; c + lanes <= count; c += lanes) finish_rows<1, Started>(tile + c, stride, row_count, cols.begin + c, out + c);
    if (c < count) finish_rest(tile + c, stride, row_count, {cols.begin + c, cols.end}, out + c);
  }
  template <int Vectors, bool Started>
  [[gnu::always_inline]] void finish_rows(const Acc* tile, Index stride, Index rows, Index col, Out* out) const {
    const Columns<Simd, Out, Vectors, Started> columns(e_, col, Acc{});
    const Index row_stride = e_.row_stride;
    const CodeBounds<Simd, Out, Packed> bounds = bounds_;
    Index r = 0;
    if constexpr (Vectors == 2 && Packed) {
#pragma GCC unroll 4
      for (; r + 2 <= rows; r += 2, tile += 2 * stride, out += 2 * row_stride) columns.finish(bounds, tile, tile + stride, out, out + row_stride);
      if (r < rows) columns.finish(bounds, tile, tile, out, out);
    } else {
      for (; r < rows; ++r, tile += stride, out += row_stride) columns.finish(bounds, tile, out);
    }
  }
  [[gnu::noinline]] void finish_rest(const Acc* tile, Index stride, Index rows, Range cols, Out* out) const {
    const Columns<Simd, Out, 1> columns(e_, cols.begin, Acc{});
    for (Index r = 0; r < rows; ++r) {
      Out last[Simd::lanes];
      columns.finish(bounds_, tile + r * stride, last);
      std::memcpy(out + r * e_.row_stride, last, static_cast<std::size_t>(cols.end - cols.begin) * sizeof(Out));
    }
  }

  Epilogue e_;  // by value, as Bounds
  CodeBounds<Simd, Out, Packed> bounds_;
};

template <class Simd, class Out, class Acc, class Body>
[[gnu::always_inline]] inline void with_code_finisher(const Epilogue& e, const Body& body) {
  if constexpr (MakesCodes<Simd, Out>) {
    if (e.multipliers_below_1) return body(TileFinisher<Simd, Out, Acc, true>(e));
  }
  body(TileFinisher<Simd, Out, Acc>(e));
}

// Calls body(TileFinisher) of the kind that `e` asks for.
template <class Simd, class Acc, class Body>
[[gnu::always_inline]] inline void with_finisher(const Epilogue& e, const Body& body) {
  if constexpr (std::is_same_v<Acc, float>) {
    body(TileFinisher<Simd, float, float>(e));
  } else {
    switch (e.kind) {
      case DType::Int32: return body(TileFinisher<Simd, std::int32_t, Acc>(e));
      case DType::Uint8: return with_code_finisher<Simd, std::uint8_t, Acc>(e, body);
      case DType::Int8: return with_code_finisher<Simd, std::int8_t, Acc>(e, body);
      case DType::Float32: return body(TileFinisher<Simd, float, Acc>(e));
      default: return;  // no product is stored as such
    }
  }
}

}  // namespace
}  // namespace qkern::gemm
