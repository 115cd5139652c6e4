#include "bindings/ndarray.h"
#include "ops/column_sums.h"

namespace qkern::bindings {
namespace {

double* float64_row(const py::array& array, const char* argument, Index columns, const py::array& x) {
  if (!array.dtype().is(py::dtype::of<double>())) type_error(std::string(argument) + " is not float64");
  if (!is_dense(array) || !array.writeable() || shape_of(array) != Shape{columns}) {
    value_error(std::string(argument) + " has to be contiguous, writeable and of shape " + to_string({columns}));
  }
  if (overlap(x, array)) value_error("x and " + std::string(argument) + " overlap");
  return static_cast<double*>(const_cast<py::array&>(array).mutable_data());
}

void add_column_sums(const py::array& x, const py::array& sums, const py::array& squares) {
  if (!is_float32(x)) type_error("x is not float32");
  if (x.ndim() != 2) value_error("x has to be a matrix, not of shape " + to_string(shape_of(x)));
  const py::array input = contiguous(x);
  const auto* from = static_cast<const float*>(input.data());
  const Index rows = x.shape(0), columns = x.shape(1);
  double* const to = float64_row(sums, "sums", columns, input);
  double* const to_squares = float64_row(squares, "squares", columns, input);
  if (overlap(sums, squares)) value_error("sums and squares overlap");
  const WithoutGil release;
  ops::add_column_sums(from, rows, columns, to, to_squares);
}

}  // namespace

void bind_column_sums(py::module_& m) {
  m.def("add_column_sums", &add_column_sums, py::arg("x"), py::arg("sums"), py::arg("squares"),
        R"(Adds the rows of x to sums, and their squares, each rounded to float32, to squares: in float64, one row after the other.

Args:
    x: float32 (rows, columns).
    sums, squares: float64 (columns,), added to in place.

Raises ValueError for a wrong shape, TypeError for a wrong dtype.)");
}

}  // namespace qkern::bindings
