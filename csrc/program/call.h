// One step of a program: a computation with all it needs but addresses.
#pragma once

namespace qkern::program {

class Call {
 public:
  virtual ~Call() = default;
  // Reads the arrays at `operands` and writes the one at `result`, which overlaps none of them. Contiguous, aligned to their
  // elements, of the shapes and types that the call was made for.
  virtual void run(const void* const* operands, void* result) const = 0;
};

}  // namespace qkern::program
