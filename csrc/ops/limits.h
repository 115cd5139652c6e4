// What the processor can do at best, on as many threads as kernels use: to time, and to compare a kernel's time with.
#pragma once

#include "isa/kernel_table.h"

namespace qkern::ops {

// The threads share `rounds` of the loop. Returns the operations of all of them.
Index run_register_loop(const isa::RegisterLoop& loop, Index rounds);

// Reads all bytes `repeats` times, each thread its part. Returns their exclusive or.
std::uint8_t read_memory(const unsigned char* data, Index size, Index repeats);

}  // namespace qkern::ops
