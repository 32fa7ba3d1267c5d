// Python's view of utf8.h and sampling.h, added to the module by bindings.cpp.
#pragma once

#include <pybind11/pybind11.h>

void bind_sampling(pybind11::module_& m);
