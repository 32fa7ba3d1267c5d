// The parts of engine._ops.
#pragma once

#include <pybind11/pybind11.h>

// The integer matrix kernels of cpu_vnni: kernels_compiled, kernels_supported, matmul_i8, matmul_i8_seconds.
void bind_i8(pybind11::module_& m);
// Text rules, hashes and the float work of inference.
void bind_inference(pybind11::module_& m);
// The operators of training one by one, and the gradients of the whole networks.
void bind_training(pybind11::module_& m);
