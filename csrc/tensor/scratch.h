// Memory that a thread keeps from call to call, so that a warm kernel allocates nothing.
#pragma once

#include <cstddef>

namespace qkern::tensor {

// What the memory is for; two live uses on one thread need two names.
enum class Scratch {
  TransposedRow,
  QuantizedImage,
  TransposedImage,
  GatheredRows,
  ExpandedPanel,
  PaddedInput,
  ChannelsLastOutput,
  ZeroPointTerms,
  RowSums,
  WindowSums,
  WinogradInput,
  WinogradProducts,
  Operands,
  Externals,
  Arena,
  Count
};

// At least `bytes` bytes, 64-byte aligned, contents undefined; valid until the thread's next request of the same name.
// Throws std::bad_alloc.
void* scratch(Scratch name, std::size_t bytes);

}  // namespace qkern::tensor
