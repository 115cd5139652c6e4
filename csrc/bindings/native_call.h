// Calls of a program, as Python makes them: one static method of NativeCall for each, beside the binding of its operator.
#pragma once

#include "bindings/constructed.h"
#include "bindings/layer.h"
#include "bindings/ndarray.h"
#include "program/calls.h"

namespace qkern::bindings {

using NativeCall = BoundClass<program::Call>;
using NativeCallPtr = std::shared_ptr<program::Call>;

// Arguments of a layer's native call: the sum with another operand's codes (its dtype, scale and zero point of the layer's codes, the
// other's and the sum's, and codes to clamp the sum to), or a table.
using NativeAddition = std::tuple<py::object, double, std::int64_t, double, std::int64_t, double, std::int64_t, Clamp>;
program::Finish native_finish(const std::optional<NativeAddition>& add, const std::optional<py::array>& table, const ops::LayerOutput& output);

void add_native_conv(NativeCall& calls);
void add_native_linear(NativeCall& calls);
void add_native_add(NativeCall& calls);
void add_native_lookup(NativeCall& calls);
void add_native_quantize(NativeCall& calls);
void add_native_pool(NativeCall& calls);
void add_native_move(NativeCall& calls);
void add_native_arithmetic(NativeCall& calls);

}  // namespace qkern::bindings
