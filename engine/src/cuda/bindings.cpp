// engine._cuda: the tables of operators that the other native modules take when work goes to a device. They
// themselves hold nothing of CUDA, so that they load where there is none.
#include <pybind11/pybind11.h>

#include "../infer/tensors_of.h"
#include "cuda/device.h"
#include "infer_network.h"
#include "model/config_of.h"
#include "train_ops.h"

namespace py = pybind11;
using namespace plm;
using namespace plm::infer;

PYBIND11_MODULE(_cuda, m) {
    m.doc() = "The operators on an NVIDIA device.";
    py::module_::import("engine._core");  // knows what a Network is, and what sessions do with one
    // Local: a process may load this module twice, once for a device and once for the tests' executor.
    py::class_<CudaNetwork, Network, std::shared_ptr<CudaNetwork>>(m, "Network", py::module_local(),
                                                                   "As _core.Network, on the device.")
        .def(py::init([](const py::dict& config, const py::dict& tensors) {
                 return std::make_shared<CudaNetwork>(
                     checked(config_of(config)),
                     [&](const std::string& name) { return view_of(tensors, name); });
             }),
             py::kw_only(), py::arg("config"), py::arg("tensors"));
    m.def("problem", plm_cuda::problem, "Why no device can be used, in one line; empty where one can.");
    m.def("device_name", plm_cuda::device_name);
    m.def("peak_flops", plm_cuda::peak_flops, "FLOP/s of the tensor cores in bf16, by the data sheet.");
    m.def(
        "training_ops",
        [](bool bf16) {
            return py::capsule(bf16 ? &plm::train::ops_cuda : &plm::train::ops_cuda_f32, "plm::Ops<float>");
        },
        py::arg("bf16") = true, "For _train.Trainer: matrix products in bf16, or in float32 to compare.");
}
