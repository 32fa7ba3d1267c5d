// The parts of engine._train's bindings.
#pragma once
#include <pybind11/pybind11.h>

#include "optimizer.h"

namespace plm::train {
// Readers and their trainer (read/bindings.cpp).
void bind_readers(pybind11::module_& m);
// threads, beta1, beta2, epsilon, momentum, decay and clip of a dictionary.
OptimizerSettings optimizer_settings_of(const pybind11::dict& d);
}  // namespace plm::train
