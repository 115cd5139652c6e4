#include "bindings/levels.h"

#include <algorithm>
#include <array>

#include "ops/lookup.h"

namespace qkern::bindings {
namespace {

constexpr Index count = 16;

}  // namespace

std::vector<std::int8_t> level_table(const py::object& levels, bool (*fits)(Index), const char* expected) {
  if (!py::isinstance<py::array>(levels)) type_error("levels must be an array of int8");
  const auto given = py::reinterpret_borrow<py::array>(levels);
  dtype_of(given, "levels", {DType::Int8});
  if (given.ndim() != 1 || !fits(given.size())) value_error("levels has shape " + to_string(shape_of(given)) + "; expected " + expected);
  const py::array table = contiguous(given);
  const auto* first = static_cast<const std::int8_t*>(table.data());
  const auto* last = first + table.size();
  if (std::adjacent_find(first, last, std::greater_equal<>()) != last) value_error("levels must be ascending, each once");
  return {first, last};
}

GivenWeights given_weights(const py::array& weight, const char* argument, const py::object& levels) {
  if (levels.is_none()) {
    const DType dtype = dtype_of(weight, argument, codes);
    return {contiguous(weight), dtype, {}};
  }
  dtype_of(weight, argument, {DType::Uint8});
  std::vector<std::int8_t> table = level_table(
      levels, [](Index size) { return size == count; }, "(16,)");
  const py::array given = contiguous(weight);
  const auto* from = static_cast<const std::uint8_t*>(given.data());
  const auto wrong = std::find_if(from, from + given.size(), [](std::uint8_t code) { return code >= count; });
  if (wrong != from + given.size()) value_error(std::string(argument) + ": code " + std::to_string(*wrong) + " is out of the table of 16 levels");
  std::array<std::uint8_t, 256> by_code{};
  std::copy(table.begin(), table.end(), by_code.begin());
  py::array values(py::dtype::of<std::int8_t>(), shape_of(given));
  ops::lookup(from, given.size(), by_code.data(), static_cast<std::uint8_t*>(values.mutable_data()));
  return {std::move(values), DType::Int8, std::move(table)};
}

}  // namespace qkern::bindings
