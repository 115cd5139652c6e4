#include "ops/lookup.h"

#include <pybind11/stl.h>

#include "bindings/native_call.h"
#include "program/calls.h"

namespace qkern::bindings {
namespace {

py::object lookup(const py::object& x, const py::array& table, const py::object& out) {
  const py::array given = array_or_scalar(x, "x");
  dtype_of(given, "x", codes);
  const DType to = dtype_of(table, "table", codes);
  if (table.ndim() != 1 || table.size() != 256) value_error("table has shape " + to_string(shape_of(table)) + "; expected (256,)");
  const py::array input = contiguous(given), entries = contiguous(table);
  const Shape shape = shape_of(input);
  Output output(out, shape, to, {&input, &entries});
  const auto* from = static_cast<const std::uint8_t*>(input.data());
  const auto* values = static_cast<const std::uint8_t*>(entries.data());
  auto* result = static_cast<std::uint8_t*>(output.data());
  const Index n = product(shape);
  {
    const WithoutGil release;
    ops::lookup(from, n, values, result);
  }
  return output.finish();
}

NativeCallPtr native_lookup(const Shape& shape, const py::array& table) {
  dtype_of(table, "table", codes);
  if (table.ndim() != 1 || table.size() != 256) value_error("table has shape " + to_string(shape_of(table)) + "; expected (256,)");
  const py::array entries = contiguous(table);
  std::array<std::uint8_t, 256> values;
  std::copy_n(static_cast<const std::uint8_t*>(entries.data()), values.size(), values.data());
  return std::make_shared<program::Lookup>(values, product(shape));
}

}  // namespace

void add_native_lookup(NativeCall& calls) {
  calls.def_static("lookup", &native_lookup, py::arg("shape"), py::arg("table"), "A call of lookup() on 8-bit codes.");
}

void bind_lookup(py::module_& m) {
  m.def("lookup", &lookup, py::arg("x"), py::arg("table"), py::kw_only(), py::arg("out") = py::none(),
        R"(y = table[x]: any function of one 8-bit code.

Args:
    x: int8 or uint8 of any shape.
    table: int8 or uint8 (256,), indexed by the byte of x: for int8, entries 128..255 are the codes -128..-1.
    out: where the result goes; x's shape, table's dtype.

Raises ValueError for a wrong shape, TypeError for a wrong dtype.)");
}

}  // namespace qkern::bindings
