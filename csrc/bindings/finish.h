// The arguments of a layer that goes on with its result in place (gemm/finish.h).
#pragma once

#include <tuple>

#include "bindings/layer.h"
#include "gemm/finish.h"

namespace qkern::bindings {

// other, its scale and zero point, the sum's scale and zero point, and codes to clamp the sum to
using Addition = std::tuple<py::array, double, std::int64_t, double, std::int64_t, Clamp>;

// Arrays are kept alive, and checked: `add` of the shape of a result of the layer's `output`, a table of 256 codes.
class FinishArguments {
 public:
  FinishArguments(const std::optional<Addition>& add, const std::optional<py::array>& table, const ops::LayerOutput& output, const Shape& shape) {
    if (output.dtype != DType::Int8 && output.dtype != DType::Uint8) value_error("a layer whose result is no codes has nothing to add or to look up");
    dtype_ = output.dtype;
    if (add) {
      const auto& [other, scale, zero, y_scale, y_zero, clamp] = *add;
      finish_.other_dtype = dtype_of(other, "add", codes);
      if (shape_of(other) != shape) value_error("add has shape " + to_string(shape_of(other)) + "; expected " + to_string(shape));
      const ops::Codes bounds = parse_clamp(clamp, dtype_);
      params_ = {output.y_scale,
                 positive_float(scale, "scale"),
                 positive_float(y_scale, "y_scale"),
                 output.y_zero_point,
                 bindings::zero_point(zero, "zero_point", finish_.other_dtype),
                 bindings::zero_point(y_zero, "y_zero_point", dtype_),
                 bounds.low,
                 bounds.high};
      other_ = contiguous(other);
      finish_.add = &params_;
      finish_.other = other_.data();
    }
    if (table) {
      dtype_ = dtype_of(*table, "table", codes);
      if (table->ndim() != 1 || table->size() != 256) value_error("table has shape " + to_string(shape_of(*table)) + "; expected (256,)");
      table_ = contiguous(*table);
      finish_.table = static_cast<const std::uint8_t*>(table_.data());
    }
  }
  FinishArguments(const FinishArguments&) = delete;

  const gemm::Finish& finish() const { return finish_; }
  DType dtype() const { return dtype_; }  // of the result
  const py::array& other() const { return other_; }
  const py::array& table() const { return table_; }

 private:
  gemm::Finish finish_;
  elementwise::AddParams params_{};
  py::array other_, table_;
  DType dtype_;
};

}  // namespace qkern::bindings
