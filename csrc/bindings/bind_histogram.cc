#include <cmath>

#include "bindings/ndarray.h"
#include "ops/histogram.h"

namespace qkern::bindings {
namespace {

py::tuple extremes(const py::array& x) {
  if (!is_float32(x)) type_error("x is not float32");
  const py::array input = contiguous(x);
  const auto* from = static_cast<const float*>(input.data());
  const Index n = product(shape_of(input));
  elementwise::Range found{};
  {
    const WithoutGil release;
    found = ops::extremes(from, n);
  }
  return py::make_tuple(found.low, found.high);
}

py::object add_to_histogram(const py::array& x, float factor, std::int32_t first, const py::array& counts) {
  if (!is_float32(x)) type_error("x is not float32");
  if (!counts.dtype().is(py::dtype::of<std::int64_t>())) type_error("counts is not int64");
  if (!is_dense(counts) || !counts.writeable() || shape_of(counts) != Shape{elementwise::histogram_bins}) {
    value_error("counts has to be contiguous, writeable and of shape " + to_string({elementwise::histogram_bins}));
  }
  if (first <= -(1 << 22) || first >= 1 << 22) value_error("first is not of magnitude < 2**22");
  int exponent = 0;
  if (std::frexp(factor, &exponent) != 0.5f) value_error("factor is not a power of two");
  const py::array input = contiguous(x);
  if (overlap(input, counts)) value_error("x and counts overlap");
  const auto* from = static_cast<const float*>(input.data());
  auto* to = static_cast<std::int64_t*>(const_cast<py::array&>(counts).mutable_data());
  const Index n = product(shape_of(input));
  ops::Counted found;
  {
    const WithoutGil release;
    found = ops::add_to_histogram(from, n, factor, first, to);
  }
  if (found.outside) return py::none();
  return py::make_tuple(found.range.low, found.range.high, found.zeros);
}

}  // namespace

void bind_histogram(py::module_& m) {
  m.def("extremes", &extremes, py::arg("x"),
        R"(The lowest and the highest number of x, float32 of any shape: inf and -inf where it is empty, NaN twice where one is NaN.

Raises TypeError for another dtype.)");
  m.def("add_to_histogram", &add_to_histogram, py::arg("x"), py::arg("factor"), py::arg("first"), py::arg("counts"),
        R"(Adds the numbers of x to a histogram of 2048 bins, each 1 / factor wide.

Bin k >= 0 holds [k, k + 1) / factor, bin -1 - k its mirror image; counts[0] belongs to bin `first`.

Args:
    x: float32 of any shape.
    factor: a power of two.
    first: the lowest bin, an int of magnitude < 2**22.
    counts: int64 (2048,), added to in place.

Returns the lowest and the highest number and how many are zero; None, and counts as it was, where a number is in none of the bins (NaN is in none).

Raises ValueError for a wrong factor or shape, TypeError for a wrong dtype.)");
}

}  // namespace qkern::bindings
