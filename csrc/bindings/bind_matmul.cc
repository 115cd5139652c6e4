#include <pybind11/stl.h>

#include <memory>

#include "bindings/constructed.h"
#include "bindings/fast_call.h"
#include "bindings/levels.h"
#include "bindings/ndarray.h"
#include "isa/kernel_table.h"
#include "ops/matmul.h"

namespace qkern::bindings {
namespace {

// A right operand packed for matmul, immutable.
struct PackedMatrix : OnlyConstructed {
  gemm::PackedWeights weights;
  DType dtype;
  const char* isa;
};

const unsigned char* end_of(const py::array& array) {
  const auto* end = static_cast<const unsigned char*>(array.data());
  for (py::ssize_t i = 0; i < array.ndim(); ++i) {
    if (array.shape(i) == 0) return end;
    if (array.strides(i) > 0) end += (array.shape(i) - 1) * array.strides(i);
  }
  return end + array.itemsize();
}

PackedMatrix pack_matrix(const void* data, Index depth, Index cols, Index depth_stride, Index col_stride, DType dtype) {
  return {{}, ops::pack(data, depth, cols, depth_stride, col_stride, dtype == DType::Int8), dtype, isa::active_kernels().name};
}

void check_matrix(const py::array& b) {
  if (b.ndim() != 2) value_error("b has shape " + to_string(shape_of(b)) + "; expected 2 dimensions");
}

// Codes of a qkern.Codebook: in 4 bits where one table of 16 levels serves all of them, else as int8.
std::shared_ptr<PackedMatrix> pack_codes(const py::array& b, const py::object& codebook) {
  if (!py::hasattr(codebook, "levels") || !py::hasattr(codebook, "expand")) type_error("codebook must be a Codebook");
  check_matrix(b);
  py::array levels = codebook.attr("levels");
  const GivenWeights given =
      levels.size() == 16 ? given_weights(b, "b", levels.reshape({-1})) : given_weights(codebook.attr("expand")(b), "b", py::none());
  const Index depth = b.shape(0), cols = b.shape(1);
  const WithoutGil release;
  return std::make_shared<PackedMatrix>(
      PackedMatrix{{}, ops::pack(given.values.data(), depth, cols, cols, 1, true, given.levels), DType::Int8, isa::active_kernels().name});
}

std::shared_ptr<PackedMatrix> pack(const py::array& b, const py::object& codebook) {
  if (!codebook.is_none()) return pack_codes(b, codebook);
  const DType dtype = dtype_of(b, "b", codes);
  check_matrix(b);
  const void* data = b.data();
  const Index depth = b.shape(0), cols = b.shape(1), depth_stride = b.strides(0), col_stride = b.strides(1);
  const WithoutGil release;
  return std::make_shared<PackedMatrix>(pack_matrix(data, depth, cols, depth_stride, col_stride, dtype));
}

[[noreturn]] void mismatch(const Shape& a, const Shape& b) {
  value_error("matmul: shapes " + to_string(a) + " and " + to_string(b) + " do not match");
}

// The batch axes of both operands broadcast against each other, NumPy's rules.
Shape broadcast_batch(const Shape& a, const Shape& b) {
  const std::size_t rank_a = a.size() - 2, rank_b = b.size() - 2, rank = std::max(rank_a, rank_b);
  Shape batch(rank);
  for (std::size_t i = 0; i < rank; ++i) {
    const Index from_a = i + rank_a >= rank ? a[i + rank_a - rank] : 1, from_b = i + rank_b >= rank ? b[i + rank_b - rank] : 1;
    if (from_a != from_b && from_a != 1 && from_b != 1) mismatch(a, b);
    batch[i] = from_a == 1 ? from_b : from_a;
  }
  return batch;
}

// Byte offset of batch index `i` in an array whose batch axes broadcast to `batch`.
Index batch_offset(Index i, const Shape& batch, const Shape& shape, const Shape& strides) {
  const std::size_t own = shape.size() - 2;
  Index offset = 0;
  for (std::size_t axis = batch.size(); axis-- > 0;) {
    const Index at = i % batch[axis];
    i /= batch[axis];
    if (axis + own < batch.size()) continue;
    const std::size_t mine = axis + own - batch.size();
    if (shape[mine] != 1) offset += at * strides[mine];
  }
  return offset;
}

// An operand as at least two-dimensional: shape and byte strides.
struct Operand {
  Shape shape, strides;
  bool was_vector;
};

Operand as_matrix(const py::array& array, const char* argument, bool left) {
  Operand o{shape_of(array), Shape(array.strides(), array.strides() + array.ndim()), array.ndim() == 1};
  if (o.shape.empty()) value_error(std::string("matmul: ") + argument + " has no dimensions");
  if (o.was_vector) {
    o.shape.insert(left ? o.shape.begin() : o.shape.end(), 1);
    o.strides.insert(left ? o.strides.begin() : o.strides.end(), 1);
  }
  return o;
}

// The class is final, so that its type says it all; isinstance would look it up by name on each call.
bool is_packed(py::handle b) {
  static const py::handle type = py::type::of<PackedMatrix>().release();
  return Py_TYPE(b.ptr()) == reinterpret_cast<PyTypeObject*>(type.ptr());
}

py::object matmul(py::array a, const py::object& b, const py::object& a_zero_point, const py::object& b_zero_point, const py::object& out) {
  const DType a_type = dtype_of(a, "a", codes);
  // The kernels read rows whose elements are neighbours; other strides are copied once.
  if (a.ndim() > 0 && a.shape(a.ndim() - 1) > 1 && a.strides(a.ndim() - 1) != 1) a = contiguous(a);
  const Operand left = as_matrix(a, "a", true);

  std::shared_ptr<PackedMatrix> packed;
  py::array plain;
  Operand right;
  DType b_type;
  if (py::isinstance<py::array>(b)) {
    plain = py::reinterpret_borrow<py::array>(b);
    b_type = dtype_of(plain, "b", codes);
    right = as_matrix(plain, "b", false);
  } else if (is_packed(b)) {
    b.cast<const PackedMatrix&>();  // a TypeError where it was never constructed
    packed = b.cast<std::shared_ptr<PackedMatrix>>();
    right = {{packed->weights.depth(), packed->weights.cols()}, {0, 0}, false};
    b_type = packed->dtype;
  } else {
    type_error("b must be an array or the result of pack()");
  }

  const std::size_t ra = left.shape.size(), rb = right.shape.size();
  const Index rows = left.shape[ra - 2], depth = left.shape[ra - 1], cols = right.shape[rb - 1];
  if (depth != right.shape[rb - 2]) mismatch(left.shape, right.shape);
  const Shape batch = broadcast_batch(left.shape, right.shape);
  const auto a_zero = zero_points(a_zero_point, "a_zero_point", rows, a_type);
  const auto b_zero = zero_points(b_zero_point, "b_zero_point", cols, b_type);

  Shape shape = batch;
  if (!left.was_vector) shape.push_back(rows);
  if (!right.was_vector) shape.push_back(cols);
  Output output = packed ? Output(out, shape, DType::Int32, {&a}) : Output(out, shape, DType::Int32, {&a, &plain});
  auto* result = static_cast<std::int32_t*>(output.data());
  const auto* a_data = static_cast<const unsigned char*>(a.data());
  const auto* a_end = end_of(a);
  const auto* b_data = packed ? nullptr : static_cast<const unsigned char*>(plain.data());
  {
    const WithoutGil release;
    std::optional<PackedMatrix> own;
    Index own_offset = -1;
    const Index count = rows * cols == 0 ? 0 : product(batch);
    for (Index i = 0; i < count; ++i) {
      const PackedMatrix* weights = packed.get();
      if (weights == nullptr) {
        const Index offset = batch_offset(i, batch, right.shape, right.strides);
        if (offset != own_offset) {
          own.emplace(pack_matrix(b_data + offset, depth, cols, right.strides[rb - 2], right.strides[rb - 1], b_type));
          own_offset = offset;
        }
        weights = &*own;
      }
      const ops::RowsView view{
          a_data + batch_offset(i, batch, left.shape, left.strides), a_end, rows, depth, left.strides[ra - 2], a_type == DType::Int8};
      ops::matmul(view, a_zero, weights->weights, b_zero, result + i * rows * cols);
    }
  }
  py::object value = output.finish();
  return shape.empty() && out.is_none() ? value[py::tuple()] : value;
}

// Two matrices, one zero point each.
PyObject* fast_matmul(const Arguments& arguments) {
  PyObject *const a_zero_point = arguments[2], *const b_zero_point = arguments[3], *const out = arguments[4];
  const py::array a = exact_array(arguments[0]);
  const auto a_type = a ? fast_dtype(a) : std::nullopt;
  if (!a_type || size_of(*a_type) != 1 || a.ndim() != 2 || arguments[1] == nullptr) return nullptr;
  const Index rows = a.shape(0), depth = a.shape(1);
  if (depth > 1 && a.strides(1) != 1) return nullptr;

  const py::array plain = exact_array(arguments[1]);
  const PackedMatrix* packed = nullptr;
  std::optional<DType> b_type;
  Index b_depth = 0, cols = 0;
  if (plain) {
    b_type = fast_dtype(plain);
    if (!b_type || size_of(*b_type) != 1 || plain.ndim() != 2) return nullptr;
    b_depth = plain.shape(0), cols = plain.shape(1);
  } else if (is_packed(py::handle(arguments[1]))) {
    // Its class has one base and no subclass; a null value is one that was never constructed.
    packed = static_cast<const PackedMatrix*>(reinterpret_cast<py::detail::instance*>(arguments[1])->get_value_and_holder().value_ptr());
    if (packed == nullptr) return nullptr;
    b_type = packed->dtype, b_depth = packed->weights.depth(), cols = packed->weights.cols();
  }
  // Each size is checked before it is a factor.
  if (b_depth != depth || rows < 1 || depth < 1 || cols < 1 || rows > most_products || depth > most_products || cols > most_products ||
      rows * depth > most_products || rows * depth * cols > most_products) {
    return nullptr;
  }
  const auto a_zero = fast_zero_point(a_zero_point, *a_type), b_zero = fast_zero_point(b_zero_point, *b_type);
  if (!a_zero || !b_zero) return nullptr;
  const py::ssize_t shape[]{rows, cols};
  py::array result = plain ? fast_result(out, 2, shape, DType::Int32, {&a, &plain}) : fast_result(out, 2, shape, DType::Int32, {&a});
  if (!result) return nullptr;

  std::optional<gemm::PackedWeights> own;
  if (plain) own = ops::pack(plain.data(), depth, cols, plain.strides(0), plain.strides(1), *b_type == DType::Int8);
  const ops::RowsView view{a.data(), end_of(a), rows, depth, a.strides(0), *a_type == DType::Int8};
  ops::matmul(view, {&*a_zero, 1}, own ? *own : packed->weights, {&*b_zero, 1}, static_cast<std::int32_t*>(result.mutable_data()));
  return result.release().ptr();
}

}  // namespace

void bind_matmul(py::module_& m) {
  BoundClass<PackedMatrix>(m, "PackedMatrix", py::is_final(), "Right operand of matmul, packed once by pack() for the tier that was active then.")
      .def_property_readonly(
          "shape", [](const PackedMatrix& p) { return py::make_tuple(p.weights.depth(), p.weights.cols()); }, "(depth, columns) of the matrix.")
      .def_property_readonly(
          "dtype", [](const PackedMatrix& p) { return to_numpy(p.dtype); }, "int8 or uint8.")
      .def_property_readonly(
          "isa", [](const PackedMatrix& p) { return p.isa; }, "The tier that packed it and multiplies with it.")
      .def_property_readonly(
          "nbytes", [](const PackedMatrix& p) { return p.weights.bytes(); }, "Size of the packed panels.")
      .def_property_readonly(
          "bits", [](const PackedMatrix& p) { return p.weights.bits(); }, "Of a packed element: 8, or 4.")
      .def("__repr__", [](const PackedMatrix& p) {
        return "PackedMatrix(shape=(" + std::to_string(p.weights.depth()) + ", " + std::to_string(p.weights.cols()) + "), dtype=" + name_of(p.dtype) +
               ", isa=" + p.isa + ")";
      });
  m.def("pack", &pack, py::arg("b"), py::arg("codebook") = py::none(),
        R"(Packs the right operand of matmul, once, for the active tier.

Args:
    b: int8 or uint8 [depth, columns], any strides.
    codebook: a Codebook whose codes b holds, uint8: products are those of its int8 levels. Where it has one table of 16, b is kept in 4
        bits each, else as int8. Its scale is the caller's to multiply with.

Raises ValueError unless b has 2 dimensions, and for codes out of the table, TypeError for a wrong dtype.)");
  m.def("matmul", &matmul, py::arg("a"), py::arg("b"), py::kw_only(), py::arg("a_zero_point") = 0, py::arg("b_zero_point") = 0,
        py::arg("out") = py::none(),
        R"(The exact int32 product of 8-bit matrices: sum of (a - a_zero_point) * (b - b_zero_point), modulo 2**32.

Shapes as numpy.matmul: batch axes broadcast, 1-d operands are a row or a column. As ONNX MatMulInteger.

Args:
    a: int8 or uint8 [..., rows, depth] or [depth].
    b: int8 or uint8 [..., depth, columns] or [depth], or the result of pack().
    a_zero_point: within the range of a's dtype; a scalar, or one per row.
    b_zero_point: within the range of b's dtype; a scalar, or one per column.
    out: where the result goes; int32 of the result's shape.

Returns int32 [..., rows, columns]. Raises ValueError for shapes that don't match or an invalid zero point, TypeError for a
wrong dtype.)");
  add_fast_call<fast_matmul>(m, "matmul", 2, {"a", "b", "a_zero_point", "b_zero_point", "out"});
}

}  // namespace qkern::bindings
