#include <cstdlib>  // defines __GLIBC__

#include "bindings/ndarray.h"
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace qkern::bindings {
namespace {

void return_free_memory() {
#ifdef __GLIBC__
  const WithoutGil release;
  malloc_trim(0);
#endif
}

}  // namespace

void bind_memory(py::module_& m) {
  m.def("return_free_memory", &return_free_memory,
        "Gives pages of the heap that nothing is in back to the system, where the C library (glibc) would keep them for later.");
}

}  // namespace qkern::bindings
