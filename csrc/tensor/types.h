// Element types and the integer types used for sizes throughout.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qkern {

using Index = std::int64_t;

enum class DType : std::uint8_t { Int8, Uint8, Int32, Float32 };

constexpr Index size_of(DType dtype) { return dtype == DType::Int8 || dtype == DType::Uint8 ? 1 : 4; }
constexpr const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::Int8: return "int8";
    case DType::Uint8: return "uint8";
    case DType::Int32: return "int32";
    default: return "float32";
  }
}
constexpr std::int32_t lowest(DType dtype) { return dtype == DType::Int8 ? -128 : 0; }
constexpr std::int32_t highest(DType dtype) { return dtype == DType::Int8 ? 127 : 255; }

// Always inlined: they are used by files compiled for one tier, and must not be shared between tiers.
[[gnu::always_inline]] constexpr Index divide_up(Index value, Index by) { return (value + by - 1) / by; }
[[gnu::always_inline]] constexpr Index round_up(Index value, Index to) { return divide_up(value, to) * to; }

}  // namespace qkern
