// The list of what the extension exports; each operator binds itself in bind_<op>.cc.
#include <pybind11/pybind11.h>

#include "cpu/tiers.h"
#include "threading/thread_count.h"

namespace qkern::bindings {
void bind_isa(pybind11::module_& m);
void bind_limits(pybind11::module_& m);
void bind_quantize(pybind11::module_& m);
void bind_requantize(pybind11::module_& m);
void bind_matmul(pybind11::module_& m);
void bind_conv(pybind11::module_& m);
void bind_linear(pybind11::module_& m);
void bind_add(pybind11::module_& m);
void bind_pool(pybind11::module_& m);
void bind_lookup(pybind11::module_& m);
void bind_encode(pybind11::module_& m);
void bind_layout(pybind11::module_& m);
void bind_histogram(pybind11::module_& m);
void bind_column_sums(pybind11::module_& m);
void bind_memory(pybind11::module_& m);
void bind_program(pybind11::module_& m);
void bind_fixed_program(pybind11::module_& m);
}  // namespace qkern::bindings

PYBIND11_MODULE(_core, m) {
  using namespace qkern::bindings;
  try {
    qkern::cpu::active();  // a wrong QKERN_ISA or QKERN_NUM_THREADS fails the import, not the first call
    qkern::threading::num_threads();
  } catch (const std::runtime_error& error) {
    throw pybind11::import_error(error.what());
  }
  if (const auto ignored = qkern::threading::ignored_omp_num_threads(); !ignored.empty()) {
    const std::string text = "OMP_NUM_THREADS: '" + ignored + "' is not a number of threads, and ignored";
    if (PyErr_WarnEx(PyExc_RuntimeWarning, text.c_str(), 1) != 0) throw pybind11::error_already_set();
  }
  m.doc() = "Compiled kernels of qkern; the public names are in the package qkern.";
  m.attr("__version__") = QKERN_VERSION;
  bind_isa(m);
  bind_limits(m);
  bind_quantize(m);
  bind_requantize(m);
  bind_matmul(m);
  bind_conv(m);
  bind_linear(m);
  bind_add(m);
  bind_pool(m);
  bind_lookup(m);
  bind_encode(m);
  bind_layout(m);
  bind_histogram(m);
  bind_column_sums(m);
  bind_memory(m);
  bind_program(m);
  bind_fixed_program(m);
}
