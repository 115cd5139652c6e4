#include <pybind11/stl.h>

#include "bindings/ndarray.h"
#include "cpu/tiers.h"
#include "ops/limits.h"

namespace qkern::bindings {
namespace {

const isa::RegisterLoop& loop_of(const std::string& tier, const std::string& dtype) {
  if (dtype != "int8" && dtype != "int8_safe" && dtype != "float32") {
    value_error("dtype is '" + dtype + "'; expected 'int8', 'int8_safe' or 'float32'");
  }
  const auto& tiers = cpu::tiers();
  for (std::size_t i = 0; i < tiers.size(); ++i) {
    if (tiers[i].name != tier || !cpu::is_available(tiers[i])) continue;
    const isa::Limits& limits = isa::kernel_table(static_cast<int>(i)).limits;
    return dtype == "int8" ? limits.int8 : dtype == "int8_safe" ? limits.int8_safe : limits.float32;
  }
  value_error("tier '" + tier + "' is not one that this processor can run");
}

}  // namespace

void bind_limits(py::module_& m) {
  m.def(
      "register_loop_instructions", [](const std::string& tier, const std::string& dtype) { return std::string(loop_of(tier, dtype).instructions); },
      py::arg("tier"), py::arg("dtype"), "The instructions that register_loop repeats.");
  m.def(
      "register_loop",
      [](const std::string& tier, const std::string& dtype, Index rounds) {
        const isa::RegisterLoop& loop = loop_of(tier, dtype);
        if (rounds < 1) value_error("rounds must be at least 1");
        const WithoutGil release;
        return ops::run_register_loop(loop, rounds);
      },
      py::arg("tier"), py::arg("dtype"), py::arg("rounds"),
      R"(Multiplies in registers alone, on as many threads as a kernel uses: the fastest that a tier can.

Args:
    tier: one of isa_available().
    dtype: "int8", "int8_safe" (of saturation-safe weights) or "float32", whose kernels' instructions.
    rounds: of the loop, shared among the threads; some ten nanoseconds each.

Returns the number of operations done, 2 per product. Raises ValueError for an argument that is none of these.)");
  m.def(
      "read_memory",
      [](const py::array& data, Index repeats) {
        if (!is_dense(data)) value_error("data is not C-contiguous and aligned");
        if (repeats < 1) value_error("repeats must be at least 1");
        const auto* bytes = static_cast<const unsigned char*>(data.data());
        const Index size = data.nbytes();
        const WithoutGil release;
        return int{ops::read_memory(bytes, size, repeats)};
      },
      py::arg("data"), py::arg("repeats") = 1,
      R"(Reads `data`, an array of any dtype, `repeats` times, on as many threads as a kernel uses, each its part.

Returns the exclusive or of all the bytes read. Raises ValueError where the array is not contiguous.)");
}

}  // namespace qkern::bindings
