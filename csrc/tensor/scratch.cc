#include "tensor/scratch.h"

#include <array>
#include <cstdlib>
#include <new>

#include "tensor/types.h"

namespace qkern::tensor {
namespace {

class Block {
 public:
  Block() = default;
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() { ::operator delete(data_, alignment); }

  void* at_least(std::size_t bytes) {
    if (bytes > size_) {
      ::operator delete(data_, alignment);
      data_ = nullptr;
      size_ = 0;
      data_ = ::operator new(bytes, alignment);
      size_ = bytes;
    }
    return data_;
  }

 private:
  static constexpr std::align_val_t alignment{64};
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace

void* scratch(Scratch name, std::size_t bytes) {
  thread_local std::array<Block, static_cast<std::size_t>(Scratch::Count)> blocks;
  return blocks[static_cast<std::size_t>(name)].at_least(bytes);
}

}  // namespace qkern::tensor
