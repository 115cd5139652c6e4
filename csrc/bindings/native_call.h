// Calls of a program, as Python makes them: one static method of NativeCall for each, beside the binding of its operator.
#pragma once

#include "bindings/constructed.h"
#include "bindings/ndarray.h"
#include "program/call.h"

namespace qkern::bindings {

using NativeCall = BoundClass<program::Call>;
using NativeCallPtr = std::shared_ptr<program::Call>;

void add_native_conv(NativeCall& calls);
void add_native_linear(NativeCall& calls);
void add_native_add(NativeCall& calls);
void add_native_lookup(NativeCall& calls);
void add_native_quantize(NativeCall& calls);
void add_native_pool(NativeCall& calls);
void add_native_move(NativeCall& calls);
void add_native_arithmetic(NativeCall& calls);

}  // namespace qkern::bindings
