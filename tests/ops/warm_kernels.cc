// Prints, per kernel, the allocations of a warm call, the least of several rounds, and its name. test_allocations.py links it with a build's objects
// and the library that counts.
//
//   warm_kernels TIER THREADS
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "cpu/tiers.h"
#include "ops/add.h"
#include "ops/conv.h"
#include "ops/linear.h"
#include "ops/lookup.h"
#include "ops/matmul.h"
#include "ops/pool.h"
#include "ops/quantize.h"
#include "threading/parallel_for.h"

extern "C" long allocations_so_far();

namespace {

using namespace qkern;

template <class Call>
void count(const char* name, const Call& call) {
  // A worker that takes part for the first time allocates its scratch memory.
  constexpr int rounds = 8;
  long least = -1;
  for (int round = 0; round < rounds; ++round) {
    const long before = allocations_so_far();
    call();
    const long taken = allocations_so_far() - before;
    least = least < 0 ? taken : std::min(least, taken);
  }
  std::printf("%ld %s\n", least, name);
}

const std::vector<std::uint8_t> bytes(std::size_t{1} << 20, 7);
const std::vector<float> floats(std::size_t{1} << 18, 0.5f);
std::vector<std::uint8_t> result(std::size_t{1} << 22);

ops::LayerOutput codes() {
  ops::LayerOutput output;
  output.clamp = {0, 255};
  return output;
}

ops::Window window(Index kernel, Index stride, Index pad) {
  return {{1, kernel, kernel}, {1, stride, stride}, {1, 1, 1}, {0, pad, pad}, {0, pad, pad}};
}

void count_conv(const char* name, Index channels, Index out_channels, Index groups, Index kernel, Index size, std::int32_t w_zero, ops::Layout layout,
                ops::Algorithm algorithm = ops::Algorithm::Direct) {
  const float scale = 0.01f;
  const ops::ConvWeights weights{bytes.data(), DType::Uint8, out_channels, channels, groups, window(kernel, 1, kernel / 2)};
  const ops::Conv conv(weights, {{&scale, 1}, {&w_zero, 1}, {}, 0.1f, 3}, codes(), layout, algorithm);
  const ops::ImageShape image{2, channels, {1, size, size}};
  const ops::ConvPlan plan = conv.plan(DType::Uint8, image, conv.window());
  count(name, [&] { conv.run(plan, bytes.data(), result.data()); });
}

void count_float_conv(const char* name, Index channels, Index groups) {
  const ops::ConvWeights weights{floats.data(), DType::Float32, channels, channels, groups, window(3, 1, 1)};
  const ops::Conv conv(weights, {floats.data(), static_cast<std::size_t>(channels)}, 0, 6, ops::Layout::ChannelsFirst);
  const ops::ConvPlan plan = conv.plan(DType::Float32, {1, channels, {1, 35, 35}}, conv.window());
  count(name, [&] { conv.run(plan, floats.data(), result.data()); });
}

void count_fused() {
  const float scale = 0.01f;
  const std::int32_t zero = 128;
  const ops::ConvWeights weights{bytes.data(), DType::Uint8, 24, 3, 1, window(3, 2, 1)};
  const ops::Conv conv(weights, {{&scale, 1}, {&zero, 1}, {}, 0.1f, 3}, codes(), ops::Layout::ChannelsLast, ops::Algorithm::Direct);
  const elementwise::AddParams params{1, 1, 1, 0, 0, 0, 0, 255};
  for (const Index size : {30, 90}) {
    const ops::ConvPlan plan = conv.plan({0.1f, 3, DType::Uint8}, ops::Layout::ChannelsFirst, {1, 3, {1, size, size}}, conv.window());
    count(size == 30 ? "quantize, conv, add, lookup" : "quantize by rows, conv, add, lookup", [&] {
      conv.run(plan, floats.data(), result.data(), {&params, bytes.data(), DType::Uint8, bytes.data()});
    });
  }
}

void count_layers() {
  constexpr auto first = ops::Layout::ChannelsFirst, last = ops::Layout::ChannelsLast;
  count_conv("conv 1x1", 16, 24, 1, 1, 17, 128, last);
  count_conv("conv 3x3", 13, 24, 1, 3, 17, 128, last);
  count_conv("conv 3x3 on the threads", 32, 64, 1, 3, 40, 128, last);
  count_conv("conv 3x3 channels first", 3, 24, 1, 3, 40, 128, first);
  count_conv("conv 3x3 channels first, short rows", 3, 24, 1, 3, 17, 128, first);
  count_conv("conv 3x3, weight zero point", 16, 24, 1, 3, 17, 100, last);
  count_conv("conv 3x3 by winograd4", 24, 40, 1, 3, 17, 0, last, ops::Algorithm::Winograd4);
  count_conv("conv 3x3 by winograd2, channels first", 13, 24, 1, 3, 17, 0, first, ops::Algorithm::Winograd2);
  count_conv("grouped conv, weight zero point", 64, 64, 2, 3, 17, 100, last);
  count_conv("depthwise conv", 40, 40, 40, 3, 17, 128, last);
  count_conv("depthwise conv, weight zero point", 41, 41, 41, 3, 17, 0, last);
  count_conv("depthwise conv channels first", 64, 64, 64, 5, 40, 128, first);
  count_float_conv("float conv", 13, 1);
  count_float_conv("float depthwise conv", 24, 24);

  const float scale = 0.01f;
  for (const std::int32_t w_zero : {128, 100}) {
    const ops::QLinear layer(bytes.data(), false, 70, 90, {&scale, 1}, {&w_zero, 1}, {}, 0.1f, 3, codes());
    const ops::RowsView rows{bytes.data(), bytes.data() + bytes.size(), 50, 90, 90, false};
    count(w_zero == 128 ? "linear" : "linear, weight zero point", [&] { layer.run(rows, result.data()); });
  }
  const ops::Linear layer(floats.data(), 70, 90, {}, 0, 6);
  const ops::RowsView rows{floats.data(), nullptr, 50, 90, 90, true};
  count("float linear", [&] { layer.run(rows, reinterpret_cast<float*>(result.data())); });
}

void count_products() {
  const auto packed = ops::pack(bytes.data(), 90, 70, 70, 1, false);
  const ops::RowsView rows{bytes.data(), bytes.data() + bytes.size(), 50, 90, 90, false};
  const std::vector<std::int32_t> zeros(70, 5);
  const std::int32_t zero = 3;
  auto* const y = reinterpret_cast<std::int32_t*>(result.data());
  count("matmul", [&] { ops::matmul(rows, {&zero, 1}, packed, {&zero, 1}, y); });
  count("matmul, zero points per row and column", [&] { ops::matmul(rows, {zeros.data(), 50}, packed, {zeros.data(), 70}, y); });
}

void count_pools() {
  for (const auto layout : {ops::Layout::ChannelsFirst, ops::Layout::ChannelsLast}) {
    const bool last = layout == ops::Layout::ChannelsLast;
    const ops::ImageShape image{2, 24, {1, 33, 33}};
    const auto plan = ops::plan_pool(DType::Uint8, image, window(3, 2, 1), layout);
    count(last ? "max pool" : "max pool channels first", [&] { ops::max_pool(plan, bytes.data(), result.data()); });
    count(last ? "average pool" : "average pool channels first", [&] {
      ops::average_pool(plan, {false, 0.1f, 3, codes()}, bytes.data(), result.data());
    });
  }
  const auto plan = ops::plan_pool(DType::Uint8, {1, 2, {1, 1024, 512}}, {{1, 1024, 512}}, ops::Layout::ChannelsLast);
  count("global average pool", [&] { ops::average_pool(plan, {false, 0.1f, 3, codes()}, bytes.data(), result.data()); });
}

void count_elementwise() {
  const float scale = 0.1f;
  const std::int32_t zero = 3;
  const auto n = static_cast<Index>(floats.size());
  count("quantize", [&] { ops::quantize(floats.data(), {1, 1, n}, {&scale, 1}, {&zero, 1}, DType::Uint8, result.data()); });
  count("dequantize", [&] {
    ops::dequantize(bytes.data(), DType::Uint8, {1, 1, n}, {&scale, 1}, {&zero, 1}, reinterpret_cast<float*>(result.data()));
  });
  count("add", [&] { ops::add(bytes.data(), DType::Uint8, bytes.data(), DType::Uint8, n, {1, 1, 1, 0, 0, 0, 0, 255}, DType::Uint8, result.data()); });
  count("lookup", [&] { ops::lookup(bytes.data(), n, bytes.data(), result.data()); });
  count("to channels first", [&] { ops::to_channels_first(bytes.data(), 2, 24, 1000, 1, result.data()); });
}

}  // namespace

int main(int, char** arguments) {
  cpu::use(arguments[1]);
  threading::set_num_threads(std::atoi(arguments[2]));
  count_layers();
  count_fused();
  count_products();
  count_pools();
  count_elementwise();
  // What the test must see where something is allocated.
  count("a plan", [] { ops::plan_pool(DType::Uint8, {1, 1, {1, 9, 9}}, window(3, 1, 1), ops::Layout::ChannelsLast); });
}
