// Element types and the integer types used for sizes throughout.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qkern {

using Index = std::int64_t;

// Codes of 4 bits take a byte each, as in ml_dtypes.
enum class DType : std::uint8_t { Int8, Uint8, Int32, Float32, Int16, Uint16, Int4, Uint4 };

// Always inlined, as what stands below: they are used by files compiled for one tier, and must not be shared between tiers.
[[gnu::always_inline]] constexpr Index size_of(DType dtype) {
  switch (dtype) {
    case DType::Int32:
    case DType::Float32: return 4;
    case DType::Int16:
    case DType::Uint16: return 2;
    default: return 1;
  }
}
constexpr const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::Int8: return "int8";
    case DType::Uint8: return "uint8";
    case DType::Int32: return "int32";
    case DType::Int16: return "int16";
    case DType::Uint16: return "uint16";
    case DType::Int4: return "int4";
    case DType::Uint4: return "uint4";
    default: return "float32";
  }
}
// Of codes.
[[gnu::always_inline]] constexpr std::int32_t lowest(DType dtype) {
  switch (dtype) {
    case DType::Int8: return -128;
    case DType::Int16: return -32768;
    case DType::Int4: return -8;
    default: return 0;
  }
}
[[gnu::always_inline]] constexpr std::int32_t highest(DType dtype) {
  switch (dtype) {
    case DType::Int8: return 127;
    case DType::Int16: return 32767;
    case DType::Uint16: return 65535;
    case DType::Int4: return 7;
    case DType::Uint4: return 15;
    default: return 255;
  }
}

[[gnu::always_inline]] constexpr Index divide_up(Index value, Index by) { return (value + by - 1) / by; }
[[gnu::always_inline]] constexpr Index round_up(Index value, Index to) { return divide_up(value, to) * to; }

}  // namespace qkern
