// The integer matrix kernels of cpu_vnni for Python: tests and benchmarks call them through here.
#pragma once

#include <pybind11/pybind11.h>

// Adds kernels_compiled, kernels_supported and matmul_i8 to the module.
void bind_i8(pybind11::module_& m);
