// The calls: one type for each operator, which keeps what ops/ takes besides the arrays.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "ops/add.h"
#include "ops/arithmetic.h"
#include "ops/conv.h"
#include "ops/linear.h"
#include "ops/lookup.h"
#include "ops/move.h"
#include "ops/pool.h"
#include "ops/quantize.h"
#include "program/call.h"

namespace qkern::program {

struct Convolution : Call {
  std::shared_ptr<const ops::Conv> layer;
  ops::ConvPlan plan;
  Convolution(std::shared_ptr<const ops::Conv> of, ops::ConvPlan shapes) : layer(std::move(of)), plan(std::move(shapes)) {}
  void run(const void* const* operands, void* result) const override { layer->run(plan, operands[0], result); }
};

// What a layer goes on with in place: the sum with another operand, or a table.
struct Finish {
  std::optional<elementwise::AddParams> add;
  DType other = DType::Uint8;
  std::optional<std::array<std::uint8_t, 256>> table;
  gemm::Finish on(const void* other_data) const {
    gemm::Finish finish;
    if (add) finish.add = &*add, finish.other = other_data, finish.other_dtype = other;
    if (table) finish.table = table->data();
    return finish;
  }
};
struct FinishedConvolution : Convolution {
  Finish finish;
  FinishedConvolution(std::shared_ptr<const ops::Conv> of, ops::ConvPlan shapes, const Finish& then)
      : Convolution(std::move(of), std::move(shapes)), finish(then) {}
  void run(const void* const* operands, void* result) const override {
    layer->run(plan, operands[0], result, finish.on(finish.add ? operands[1] : nullptr));
  }
};

// Rows of int8 codes (QLinear) or floats (Linear).
template <class Layer, class Result>
struct FullyConnected : Call {
  std::shared_ptr<const Layer> layer;
  ops::RowsView rows;  // without the address
  Index bytes;
  FullyConnected(std::shared_ptr<const Layer> of, const ops::RowsView& view, Index x_bytes) : layer(std::move(of)), rows(view), bytes(x_bytes) {}
  void run(const void* const* operands, void* result) const override { layer->run(at(operands[0]), static_cast<Result*>(result)); }
  ops::RowsView at(const void* x) const {
    ops::RowsView view = rows;
    view.data = x;
    view.end = static_cast<const unsigned char*>(x) + bytes;
    return view;
  }
};
struct FinishedLayer : FullyConnected<ops::QLinear, void> {
  Finish finish;
  FinishedLayer(std::shared_ptr<const ops::QLinear> of, const ops::RowsView& view, Index x_bytes, const Finish& then)
      : FullyConnected(std::move(of), view, x_bytes), finish(then) {}
  void run(const void* const* operands, void* result) const override {
    layer->run(at(operands[0]), result, finish.on(finish.add ? operands[1] : nullptr));
  }
};

struct AddCodes : Call {
  DType a, b, y;
  Index size;
  elementwise::AddParams params;
  AddCodes(DType a_dtype, DType b_dtype, DType y_dtype, Index n, const elementwise::AddParams& p)
      : a(a_dtype), b(b_dtype), y(y_dtype), size(n), params(p) {}
  void run(const void* const* operands, void* result) const override { ops::add(operands[0], a, operands[1], b, size, params, y, result); }
};

struct Lookup : Call {
  std::array<std::uint8_t, 256> table;
  Index size;
  Lookup(const std::array<std::uint8_t, 256>& entries, Index n) : table(entries), size(n) {}
  void run(const void* const* operands, void* result) const override {
    ops::lookup(static_cast<const std::uint8_t*>(operands[0]), size, table.data(), static_cast<std::uint8_t*>(result));
  }
};

// Between floats and codes.
struct Conversion : Call {
  ops::AxisView view;
  std::vector<float> scale;
  std::vector<std::int32_t> zero_point;
  DType codes;
  Conversion(const ops::AxisView& of, std::vector<float> scales, std::vector<std::int32_t> zeros, DType dtype)
      : view(of), scale(std::move(scales)), zero_point(std::move(zeros)), codes(dtype) {}
};
struct Quantize : Conversion {
  using Conversion::Conversion;
  void run(const void* const* operands, void* result) const override {
    ops::quantize(static_cast<const float*>(operands[0]), view, scale, zero_point, codes, result);
  }
};
struct Dequantize : Conversion {
  using Conversion::Conversion;
  void run(const void* const* operands, void* result) const override {
    ops::dequantize(operands[0], codes, view, scale, zero_point, static_cast<float*>(result));
  }
};

// Pools of channels-last images.
struct MaxPool : Call {
  ops::PoolPlan plan;
  explicit MaxPool(ops::PoolPlan shapes) : plan(std::move(shapes)) {}
  void run(const void* const* operands, void* result) const override { ops::max_pool(plan, operands[0], result); }
};
struct AveragePool : Call {
  ops::PoolPlan plan;
  ops::AveragePool pool;
  AveragePool(ops::PoolPlan shapes, const ops::AveragePool& by) : plan(std::move(shapes)), pool(by) {}
  void run(const void* const* operands, void* result) const override { ops::average_pool(plan, pool, operands[0], result); }
};

// Moves of one array (ops::StridedCopy, Gather, Pad).
template <class Move>
struct Moved : Call {
  Move move;
  explicit Moved(Move how) : move(std::move(how)) {}
  void run(const void* const* operands, void* result) const override { move.run(operands[0], result); }
};
struct Concatenate : Call {
  ops::Concatenate move;
  explicit Concatenate(ops::Concatenate how) : move(std::move(how)) {}
  void run(const void* const* operands, void* result) const override { move.run(operands, result); }
};

struct Clamp : Call {
  Index size;
  ops::FloatBounds bounds;
  Clamp(Index n, const ops::FloatBounds& to) : size(n), bounds(to) {}
  void run(const void* const* operands, void* result) const override {
    ops::clamp(static_cast<const float*>(operands[0]), size, bounds, static_cast<float*>(result));
  }
};

// Two arrays, or one and a constant in its place.
struct Combine : Call {
  ops::Combine how;
  int constant_at;  // 0, 1, or -1
  std::vector<float> constant;
  Combine(ops::Combine combine, int at, std::vector<float> values) : how(std::move(combine)), constant_at(at), constant(std::move(values)) {}
  void run(const void* const* operands, void* result) const override {
    const void* const a = constant_at == 0 ? constant.data() : operands[0];
    const void* const b = constant_at == 1 ? constant.data() : operands[constant_at < 0 ? 1 : 0];
    how.run(static_cast<const float*>(a), static_cast<const float*>(b), static_cast<float*>(result));
  }
};

}  // namespace qkern::program
