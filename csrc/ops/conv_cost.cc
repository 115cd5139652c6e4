#include "ops/conv_cost.h"

#include <algorithm>

#include "gemm/product.h"
#include "threading/thread_count.h"

namespace qkern::ops {
namespace {

// Between two runs of a layer a network runs all others: weights beyond what a cache keeps come from memory again, at 25 GB/s.
double from_memory(double bytes) {
  constexpr double kept_bytes = 1024 * 1024, nanoseconds_per_byte = 0.04;
  return std::max(bytes - kept_bytes, 0.0) * nanoseconds_per_byte;
}

constexpr double near_bytes = 1024 * 1024;  // of packed weights that stay near the core from block to block

}  // namespace

WinogradBlocks::WinogradBlocks(const conv::WinogradKernels& kernels, const conv::WinogradKernel& form, const ConvSizes& sizes)
    : all_tiles(sizes.planes * divide_up(sizes.height, form.tile) * divide_up(sizes.width, form.tile)),
      all_panels(divide_up(sizes.cols, kernels.cols)) {
  constexpr Index block_bytes = Index{256} << 10;  // of transformed input and products: half of a small L2
  const Index positions = form.positions * form.positions, threads = threading::num_threads();
  const Index most = std::max(block_bytes / (positions * (2 * sizes.depth + 4 * kernels.cols)) / kernels.rows, Index{2}) * kernels.rows;
  const Index least = divide_up(all_tiles, most);
  // Threads get equal shares, of which the kernel evens out the rows: two each, so that the faster one can take more, where that leaves
  // enough for the weights to be read for. A single thread has whole tiles of the kernel.
  const Index each = all_tiles >= 4 * kernels.rows * threads ? 2 : 1, worth = std::min(2 * all_tiles / kernels.rows, each * threads);
  const Index share = divide_up(all_tiles, threads > 1 ? std::max({least, worth, Index{1}}) : std::max(least, Index{1}));
  tiles = std::clamp(threads > 1 ? share : round_up(share, kernels.rows), Index{1}, std::max(all_tiles, Index{1}));
  down = divide_up(all_tiles, tiles);
  const Index shares = threads > 1 && down < threads ? std::min(all_panels, divide_up(threads, std::max(down, Index{1}))) : 1;
  panels = std::max(divide_up(all_panels, std::max(shares, Index{1})), Index{1});
  across = divide_up(all_panels, panels);
  // A product of int16 takes about twice as long as one of int8.
  work = divide_up(tiles * positions * sizes.depth * panels * kernels.cols, gemm::products_per_unit / 2);
}

double direct_cost(const conv::WinogradKernels& kernels, bool safe_weights, const ConvSizes& sizes) {
  const conv::ConvCost& cost = safe_weights ? kernels.costs->direct_safe : kernels.costs->direct;
  const auto pixels = static_cast<double>(sizes.planes * sizes.height * sizes.width);
  const auto depth = static_cast<double>(sizes.depth), cols = static_cast<double>(round_up(sizes.cols, kernels.lanes));
  const auto groups = static_cast<double>(sizes.groups), threads = static_cast<double>(threading::num_threads());
  const double each = pixels * (depth * cost.input + cols * (cost.output + 9 * depth * cost.product));
  return cost.call + groups * each / threads + from_memory(groups * 9 * depth * cols);
}

double winograd_cost(const conv::WinogradKernels& kernels, int form, const ConvSizes& sizes) {
  const conv::ConvCost& cost = kernels.costs->form[form];
  const conv::WinogradKernel& kernel = kernels.form[form];
  const WinogradBlocks blocks(kernels, kernel, sizes);
  const auto positions = static_cast<double>(kernel.positions * kernel.positions), tiles = static_cast<double>(blocks.all_tiles);
  const auto depth = static_cast<double>(sizes.depth), cols = static_cast<double>(round_up(sizes.cols, kernels.lanes));
  const auto channels = static_cast<double>(round_up(sizes.depth, kernels.channels));
  const double weights = 2 * positions * depth * cols, inputs = static_cast<double>(blocks.across);
  const double passes = static_cast<double>(blocks.down) * (weights > near_bytes ? cost.far_weight : cost.weight);
  const double each = tiles * (inputs * channels * cost.input + cols * (cost.output + positions * depth * cost.product)) + weights * passes;
  // Blocks are shared as a whole.
  const Index count = sizes.groups * blocks.down * blocks.across, threads = threading::num_threads();
  const double rounds = static_cast<double>(divide_up(count, threads)) / static_cast<double>(std::max(count, Index{1}));
  return cost.call + static_cast<double>(sizes.groups) * each * rounds + from_memory(static_cast<double>(sizes.groups) * weights);
}

}  // namespace qkern::ops
