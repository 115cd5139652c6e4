// Bytes by which the layers of one network may outgrow their weights as they are packed for Winograd, which takes up to 8 times their size.
//
// Each layer brings its share when it is made, before the first image comes; forms are packed as images ask for them, first come, first served.
// In a network the first are those of the largest images: they gain most, and have the fewest weights.
#pragma once

#include <atomic>
#include <cstddef>

namespace qkern::ops {

class PackingBudget {
 public:
  explicit PackingBudget(std::size_t bytes) : left_(bytes) {}

  void add(std::size_t bytes) { left_ += bytes; }

  // Whether so many are left; they are taken then. From any thread.
  bool take(std::size_t bytes) {
    std::size_t left = left_.load();
    while (left >= bytes) {
      if (left_.compare_exchange_weak(left, left - bytes)) return true;
    }
    return false;
  }

 private:
  std::atomic<std::size_t> left_;
};

}  // namespace qkern::ops
