#pragma once
#include <pybind11/pybind11.h>

#include "parameters.h"

namespace plm {
// The operators one by one and the whole network's gradient, for the tests.
void bind_ops(pybind11::module_& m);
Config config_of(const pybind11::dict& d);
}  // namespace plm
