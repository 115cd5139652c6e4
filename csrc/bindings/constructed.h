// Objects of a bound class that were never constructed.
//
// `T.__new__(T)` makes one. The first method that is called on it makes pybind11 allocate a T, which nobody initializes, with T's own
// operator new if it has one: this one. What constructs a T in earnest is std::make_shared, which has no use for it.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <memory>

namespace qkern::bindings {

struct OnlyConstructed {
  static void* operator new(std::size_t) { throw pybind11::type_error("this object was made by __new__ alone, without its constructor"); }
  static void operator delete(void*) {}
};

template <class T>
using BoundClass = pybind11::class_<T, std::shared_ptr<T>>;

}  // namespace qkern::bindings
