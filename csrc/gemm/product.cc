#include "gemm/product.h"

#include <algorithm>

#include "tensor/scratch.h"
#include "threading/parallel_for.h"

namespace qkern::gemm {
namespace {

std::int32_t wrap(std::uint32_t value) { return static_cast<std::int32_t>(value); }
std::uint32_t bits(std::int64_t value) { return static_cast<std::uint32_t>(value); }

template <class T>
std::uint32_t row_sum(const Lhs& lhs, Index row) {
  const T* start = static_cast<const T*>(lhs.data) + row / lhs.inner_rows * lhs.outer_stride + row % lhs.inner_rows * lhs.inner_stride;
  std::uint32_t sum = 0;
  for (Index tap = 0; tap < lhs.taps; ++tap) {
    const T* run = start + lhs.tap_offsets[tap];
    for (Index d = 0; d < lhs.tap_depth; ++d) sum += static_cast<std::uint32_t>(run[d]);
  }
  return sum;
}

std::int32_t at(ZeroPoints zero, Index i) { return zero[zero.size() == 1 ? 0 : static_cast<std::size_t>(i)]; }

void fill_column_offsets(const PackedWeights& weights, bool lhs_signed, std::int32_t lhs_zero, std::int32_t* offsets) {
  const std::uint32_t zero = bits(lhs_zero) + bits(applied_offset(weights.kernels().lhs_offset, lhs_signed));
  std::transform(weights.column_sums().begin(), weights.column_sums().end(), offsets,
                 [zero](std::int32_t sum) { return wrap(0u - zero * bits(sum)); });
}

// Returns whether one of them isn't 0.
bool fill_column_zeros(const PackedWeights& weights, ZeroPoints rhs_zero, std::int32_t* zeros) {
  if (std::all_of(rhs_zero.begin(), rhs_zero.end(), [&](std::int32_t zero) { return zero == weights.shift(); })) return false;
  for (Index c = 0; c < weights.cols(); ++c) zeros[c] = at(rhs_zero, c) - weights.shift();
  std::fill(zeros + weights.cols(), zeros + weights.padded_cols(), 0);
  return true;
}

std::int32_t* scratch(tensor::Scratch name, Index count) {
  return static_cast<std::int32_t*>(tensor::scratch(name, static_cast<std::size_t>(count) * sizeof(std::int32_t)));
}

// How threads share a product: blocks of tiles by panels, numbered down the rows first, so that what a thread claims next needs the
// same panels (docs/decisions/0042-blocks-of-products.md).
class Blocks {
 public:
  Blocks(const PackedWeights& weights, const Lhs& lhs, Index rows) : rows_(rows), panels_(weights.panels()) {
    const GemmKernels& kernels = weights.kernels();
    const Index tiles = divide_up(rows, kernels.rows);
    const Index depth = std::max(weights.depth(), Index{1}), tile_rows = divide_up(rows, tiles), panel_cols = divide_up(weights.cols(), panels_);
    // Where the driver copies each row into the kernel's form, it does so for every block.
    const bool copies = kernels.lhs_element_size == 2 && !lhs.is_wide;
    const Index least_panels = copies ? std::min(divide_up(enough_cols, kernels.cols), panels_) : 1;
    const auto work_of = [&](Index block_tiles, Index block_panels) {
      return divide_up(block_tiles * tile_rows * block_panels * panel_cols * depth, products_per_unit);
    };
    Index block_tiles = 1, block_panels = panels_;
    if (tiles < panels_) block_tiles = tiles, block_panels = least_panels;
    if (work_of(block_tiles, block_panels) > threading::chunk_work) {
      block_tiles = std::min(tiles, enough_tiles);
      block_panels = std::clamp(threading::chunk_work / std::max(work_of(block_tiles, 1), Index{1}), least_panels, panels_);
    }
    work_ = work_of(block_tiles, block_panels);
    block_rows_ = block_tiles * kernels.rows, block_panels_ = block_panels;
    down_ = divide_up(rows, block_rows_);
  }

  Index count() const { return down_ * divide_up(panels_, block_panels_); }
  Index work() const { return work_; }

  // run(rows, panels) for what blocks [begin, end) cover, in as few rectangles as there are.
  template <class Run>
  void each_rectangle(Index begin, Index end, const Run& run) const {
    while (begin < end) {
      const Index first = begin / down_, row = begin % down_;
      const Index whole = row == 0 ? (end - begin) / down_ : 0, down = whole > 0 ? down_ : std::min(end - begin, down_ - row);
      const Index across = std::max(whole, Index{1});
      run(Range{row * block_rows_, std::min((row + down) * block_rows_, rows_)},
          Range{first * block_panels_, std::min((first + across) * block_panels_, panels_)});
      begin += across * down;
    }
  }

 private:
  static constexpr Index enough_cols = 64, enough_tiles = 4;
  Index rows_, panels_, block_rows_, block_panels_, down_, work_;
};

}  // namespace

std::vector<std::int32_t> column_offsets(const PackedWeights& weights, bool lhs_signed, std::int32_t lhs_zero) {
  std::vector<std::int32_t> offsets(static_cast<std::size_t>(weights.padded_cols()));
  fill_column_offsets(weights, lhs_signed, lhs_zero, offsets.data());
  return offsets;
}

std::vector<std::int32_t> column_zeros(const PackedWeights& weights, ZeroPoints rhs_zero) {
  std::vector<std::int32_t> zeros(static_cast<std::size_t>(weights.padded_cols()));
  if (!fill_column_zeros(weights, rhs_zero, zeros.data())) zeros.clear();
  return zeros;
}

RankOne row_sum_term(const PackedWeights& weights, const Lhs& lhs, Index rows, ZeroPoints lhs_zero, const std::int32_t* column_zero) {
  std::int32_t* const sums = scratch(tensor::Scratch::RowSums, rows);
  threading::parallel_for(rows, weights.depth(), [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      const std::uint32_t sum = lhs.is_wide     ? row_sum<std::int16_t>(lhs, r)
                                : lhs.is_signed ? row_sum<std::int8_t>(lhs, r)
                                                : row_sum<std::uint8_t>(lhs, r);
      sums[r] = wrap(bits(weights.depth()) * bits(at(lhs_zero, r)) - sum);
    }
  });
  return {sums, column_zero};
}

void correct(const PackedWeights& weights, const Lhs& lhs, Index rows, ZeroPoints lhs_zero, ZeroPoints rhs_zero, Epilogue& epilogue) {
  const Index padded = weights.padded_cols();
  const bool one_zero = lhs_zero.size() == 1;
  std::int32_t* const column_offset = scratch(tensor::Scratch::ZeroPointTerms, 2 * padded + (one_zero ? 0 : rows));
  std::int32_t *const column_zero = column_offset + padded, *const row_zero = column_zero + padded;
  fill_column_offsets(weights, lhs.is_signed, one_zero ? lhs_zero[0] : 0, column_offset);
  epilogue.column_offset = column_offset;
  epilogue.term_count = 0;
  if (!one_zero) {
    for (Index r = 0; r < rows; ++r) row_zero[r] = wrap(0u - bits(at(lhs_zero, r)));
    epilogue.terms[epilogue.term_count++] = {row_zero, weights.column_sums().data()};
  }
  if (fill_column_zeros(weights, rhs_zero, column_zero)) {
    epilogue.terms[epilogue.term_count++] = row_sum_term(weights, lhs, rows, lhs_zero, column_zero);
  }
}

void run(const PackedWeights& weights, const Lhs& lhs, const Epilogue& epilogue, Index rows, const CodeFinisher* finish) {
  const GemmKernels& kernels = weights.kernels();
  const Index panels = weights.panels(), cols = weights.cols();
  if (rows == 0 || panels == 0) return;
  const Rhs rhs = weights.rhs();
  const auto run_rectangle = [&](Range of_rows, Range of_panels) {
    if (finish == nullptr) return kernels.run(lhs, rhs, epilogue, of_rows, of_panels);
    const Range of_cols{of_panels.begin * kernels.cols, std::min(of_panels.end * kernels.cols, cols)};
    const Index width = of_cols.end - of_cols.begin, most = std::max(CodeFinisher::block_bytes / (kernels.rows * width), Index{4}) * kernels.rows;
    for (Index row = of_rows.begin; row < of_rows.end; row += most) {
      const Index end = std::min(row + most, of_rows.end);
      kernels.run(lhs, rhs, epilogue, {row, end}, of_panels);
      (*finish)(static_cast<unsigned char*>(epilogue.out) + row * epilogue.row_stride + of_cols.begin, epilogue.row_stride, end - row, width);
    }
  };
  const double products = static_cast<double>(rows) * static_cast<double>(cols) * static_cast<double>(weights.depth());
  if (products < static_cast<double>(products_per_unit * threading::worth_a_thread)) {  // small: no division by the sizes of blocks
    return run_rectangle({0, rows}, {0, panels});
  }
  const Blocks blocks(weights, lhs, rows);
  threading::parallel_for(blocks.count(), blocks.work(), [&](Index begin, Index end) { blocks.each_rectangle(begin, end, run_rectangle); });
}

}  // namespace qkern::gemm
