// Calls one after the other, on arrays in an arena, in constants, and in memory that a run hands over.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "program/call.h"
#include "tensor/types.h"

namespace qkern::program {

// Where an array lies: `offset` bytes into the arena, into array `external` of the run, or at `constant`.
struct Place {
  const void* constant = nullptr;
  Index external = -1;  // -1: the arena
  Index offset = 0;
};

struct Step {
  std::shared_ptr<const Call> call;
  std::vector<Place> operands;
  Place result;
};

class Program {
 public:
  explicit Program(std::vector<Step> steps);

  // `times`: nullptr, or steps + 1 numbers, which become the nanoseconds of a steady clock before the first step and after each. Several
  // threads may run the program, each with an arena of its own.
  void run(unsigned char* arena, void* const* externals, std::int64_t* times) const;

  // Runs the program once for each of `count` samples, which threads share: array i of the run begins strides[i] bytes later for the next
  // sample. Each thread has an arena of arena_bytes of its own.
  void run_samples(Index count, Index arena_bytes, void* const* externals, const Index* strides) const;

  std::size_t size() const { return steps_.size(); }
  Index externals() const { return externals_; }

 private:
  std::vector<Step> steps_;
  Index externals_ = 0;
  std::size_t most_operands_ = 0;
};

}  // namespace qkern::program
