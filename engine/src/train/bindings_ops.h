#pragma once
#include <pybind11/pybind11.h>

namespace plm::train {
// The operators one by one and the whole network's gradient, for the tests.
void bind_ops(pybind11::module_& m);
}  // namespace plm::train
