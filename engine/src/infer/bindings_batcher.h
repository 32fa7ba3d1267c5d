#pragma once

#include <pybind11/pybind11.h>

void bind_batcher(pybind11::module_& m);  // after Network, Session and Sampler
