#include "ops/column_sums.h"

#include <algorithm>

#include "threading/parallel_for.h"

namespace qkern::ops {
namespace {

constexpr Index block = 4096;  // columns whose sums stay in a cache while the rows go by

}  // namespace

void add_column_sums(const float* x, Index rows, Index columns, double* sums, double* squares) {
  threading::parallel_for(divide_up(columns, block), 2 * block * rows, [&](Index begin, Index end) {
    for (Index start = begin * block; start < std::min(end * block, columns); start += block) {
      const Index stop = std::min(start + block, columns);
      for (Index row = 0; row < rows; ++row) {
        const float* const from = x + row * columns;
        for (Index column = start; column < stop; ++column) {
          const float square = from[column] * from[column];
          sums[column] += static_cast<double>(from[column]);
          squares[column] += static_cast<double>(square);
        }
      }
    }
  });
}

}  // namespace qkern::ops
