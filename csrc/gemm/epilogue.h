// Accumulators -> output, one tile at a time. Equations: gemm.h, Epilogue; docs/quantization.md.
//
// Columns are finished in whole vectors (the per-column arrays are padded) into a small buffer where the tile is narrower
// than that, so that no loop has a scalar tail.
#pragma once

#include <cstring>
#include <type_traits>

#include "elementwise/rounding.h"
#include "gemm/gemm.h"

namespace qkern::gemm {
namespace {  // internal linkage: each tier compiles its own copy

template <int Lanes>
void add_rank_one(const Epilogue& e, std::int32_t* tile, Range rows, Range cols) {
  const Index stride = round_up(cols.end - cols.begin, Lanes);
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

// One vector of columns: acc + offset, then what `kind` says. `bias` mirrors gemm.h.
template <int Lanes, class Out>
inline void finish_vector(const Epilogue& e, const std::int32_t* __restrict acc, Index col, Out* __restrict out) {
  const std::int32_t* __restrict offset = e.column_offset + col;
  if constexpr (std::is_same_v<Out, std::int32_t>) {
    for (int c = 0; c < Lanes; ++c) out[c] = static_cast<std::int32_t>(static_cast<std::uint32_t>(acc[c]) + static_cast<std::uint32_t>(offset[c]));
  } else {
    const float* __restrict multiplier = e.multiplier + col;
    const float low = static_cast<float>(e.low - e.zero_point), high = static_cast<float>(e.high - e.zero_point);
    const std::int32_t zero_point = e.zero_point;
    for (int c = 0; c < Lanes; ++c) {
      const auto sum = static_cast<std::int32_t>(static_cast<std::uint32_t>(acc[c]) + static_cast<std::uint32_t>(offset[c]));
      const float value = static_cast<float>(sum) * multiplier[c];
      if constexpr (std::is_same_v<Out, float>) out[c] = value;
      else out[c] = static_cast<Out>(elementwise::round_clamped(value, low, high) + zero_point);
    }
  }
}

template <int Lanes, class Out>
inline void finish_vector(const Epilogue& e, const float* __restrict acc, Index col, Out* __restrict out) {
  static_assert(std::is_same_v<Out, float>);
  const float* __restrict bias = e.bias + col;
  const float low = e.float_low, high = e.float_high;
  for (int c = 0; c < Lanes; ++c) {
    float value = acc[c] + bias[c];
    value = value < low ? low : value;  // NaN passes, as np.clip
    out[c] = value > high ? high : value;
  }
}

template <int Lanes, class Out, class Acc>
void finish_rows(const Epilogue& e, const Acc* tile, Range rows, Range cols) {
  const Index count = cols.end - cols.begin, stride = round_up(count, Lanes);
  const Index whole = count / Lanes * Lanes;
  for (Index r = rows.begin; r < rows.end; ++r) {
    const Acc* from = tile + (r - rows.begin) * stride;
    Out* to = static_cast<Out*>(e.out) + r * e.row_stride + cols.begin;
    for (Index c = 0; c < whole; c += Lanes) finish_vector<Lanes>(e, from + c, cols.begin + c, to + c);
    if (whole < count) {
      Out last[Lanes];
      finish_vector<Lanes>(e, from + whole, cols.begin + whole, last);
      std::memcpy(to + whole, last, static_cast<std::size_t>(count - whole) * sizeof(Out));
    }
  }
}

template <int Lanes>
void finish_tile(const Epilogue& e, std::int32_t* tile, Range rows, Range cols) {
  if (e.term_count > 0) add_rank_one<Lanes>(e, tile, rows, cols);
  switch (e.kind) {
    case DType::Int32: return finish_rows<Lanes, std::int32_t>(e, tile, rows, cols);
    case DType::Uint8: return finish_rows<Lanes, std::uint8_t>(e, tile, rows, cols);
    case DType::Int8: return finish_rows<Lanes, std::int8_t>(e, tile, rows, cols);
    case DType::Float32: return finish_rows<Lanes, float>(e, tile, rows, cols);
  }
}

template <int Lanes>
void finish_tile(const Epilogue& e, float* tile, Range rows, Range cols) {
  finish_rows<Lanes, float>(e, tile, rows, cols);
}

}  // namespace
}  // namespace qkern::gemm
