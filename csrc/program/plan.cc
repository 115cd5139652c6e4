#include "program/plan.h"

#include <algorithm>
#include <numeric>

namespace qkern::program {
namespace {

struct Placed {
  Index begin, end, first, last;
};

}  // namespace

Arena place(std::span<const Life> lives, Index alignment) {
  std::vector<std::size_t> order(lives.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return lives[a].size > lives[b].size; });
  Arena arena{std::vector<Index>(lives.size()), 0};
  std::vector<Placed> placed;  // by begin
  placed.reserve(lives.size());
  for (const std::size_t i : order) {
    const Life& life = lives[i];
    const Index size = round_up(life.size, alignment);
    Index begin = 0;
    for (const Placed& other : placed) {
      if (other.first > life.last || other.last < life.first) continue;
      if (other.begin - begin >= size) break;
      begin = std::max(begin, other.end);
    }
    const Placed here{begin, begin + size, life.first, life.last};
    placed.insert(std::upper_bound(placed.begin(), placed.end(), here, [](const Placed& a, const Placed& b) { return a.begin < b.begin; }), here);
    arena.offsets[i] = begin;
    arena.size = std::max(arena.size, here.end);
  }
  return arena;
}

}  // namespace qkern::program
