// The integer matrix kernels of cpu_vnni for Python. Inference calls the tables directly; these entry points
// let tests compare every table with NumPy and benchmarks time one table without the model around it.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "bindings.h"
#include "cpu_vnni/kernels.h"

namespace py = pybind11;

namespace {

// No forcecast: an array of another type is a caller's mistake, not something to convert silently.
using Int8Array = py::array_t<int8_t, py::array::c_style>;

struct FreeDeleter {
    void operator()(void* memory) const { std::free(memory); }
};
using Packed = std::unique_ptr<void, FreeDeleter>;

const cpu_vnni_kernels& kernels_named(const std::string& isa) {
    const char* error = nullptr;
    const cpu_vnni_kernels* kernels = cpu_vnni_select(isa.c_str(), &error);
    if (kernels == nullptr) throw py::value_error(error);
    return *kernels;
}

std::vector<std::string> kernels_compiled() {
    std::vector<std::string> names;
    for (auto k = cpu_vnni_compiled; *k != nullptr; k++) names.emplace_back((*k)->name);
    return names;
}

std::vector<std::string> kernels_supported() {
    std::vector<std::string> names = kernels_compiled();
    names.erase(std::remove_if(names.begin(), names.end(),
                               [](const std::string& name) { return !cpu_vnni_supported(name.c_str()); }),
                names.end());
    return names;
}

struct Shape {
    int M, N, K;
};

std::string shown(const py::array& array) {
    std::string text = std::string(py::str(array.dtype())) + "[";
    for (py::ssize_t i = 0; i < array.ndim(); i++) text += (i ? "," : "") + std::to_string(array.shape(i));
    return text + "]";
}

Shape checked_shape(const py::array& a, const py::array& b) {
    if (!py::isinstance<Int8Array>(a) || !py::isinstance<Int8Array>(b) || a.ndim() != 2 || b.ndim() != 2 ||
        a.shape(1) != b.shape(1)) {
        throw py::value_error("matmul_i8 takes C-contiguous int8 arrays a[M,K] and b[N,K], not a " +
                              shown(a) + " and b " + shown(b));
    }
    if (a.shape(1) > CPU_VNNI_MAX_K) {
        throw py::value_error("matmul_i8 takes K up to " + std::to_string(CPU_VNNI_MAX_K) + ", not " +
                              std::to_string(a.shape(1)));
    }
    if (std::max(a.shape(0), b.shape(0)) > CPU_VNNI_MAX_MN) {
        throw py::value_error("matmul_i8 takes M and N up to " + std::to_string(CPU_VNNI_MAX_MN));
    }
    return {static_cast<int>(a.shape(0)), static_cast<int>(b.shape(0)), static_cast<int>(a.shape(1))};
}

Packed packed_weight(const cpu_vnni_kernels& kernels, const int8_t* weight, int N, int K) {
    Packed packed(std::aligned_alloc(CPU_VNNI_ALIGNMENT, kernels.matmul_i8_packed_size(N, K)));
    if (!packed) throw std::bad_alloc();
    kernels.matmul_i8_pack(packed.get(), weight, N, K);
    return packed;
}

py::array_t<int32_t> matmul_i8(const std::string& isa, const py::array& a, const py::array& b) {
    const cpu_vnni_kernels& kernels = kernels_named(isa);
    Shape shape = checked_shape(a, b);
    py::array_t<int32_t> out({shape.M, shape.N});
    auto* result = out.mutable_data();
    auto* inp = static_cast<const int8_t*>(a.data());
    auto* weight = static_cast<const int8_t*>(b.data());
    py::gil_scoped_release release;
    Packed packed = packed_weight(kernels, weight, shape.N, shape.K);
    kernels.matmul_i8(result, inp, packed.get(), shape.M, shape.N, shape.K);
    return out;
}

// Seconds for one product, the mean over `repeats` calls in a row. `copies` packed copies of the weights take
// turns, so that a caller decides which cache the weights come from: copies * N * K bytes are in use.
double matmul_i8_seconds(const std::string& isa, const py::array& a, const py::array& b, int copies,
                         int repeats) {
    const cpu_vnni_kernels& kernels = kernels_named(isa);
    Shape shape = checked_shape(a, b);
    if (copies < 1 || repeats < 1)
        throw py::value_error("matmul_i8_seconds takes copies >= 1 and repeats >= 1");
    auto* inp = static_cast<const int8_t*>(a.data());
    auto* weight = static_cast<const int8_t*>(b.data());
    py::gil_scoped_release release;
    std::vector<Packed> packed;
    for (int i = 0; i < copies; i++) packed.push_back(packed_weight(kernels, weight, shape.N, shape.K));
    std::vector<int32_t> out(static_cast<size_t>(shape.M) * shape.N);
    auto start = std::chrono::steady_clock::now();
    for (int i = 0, copy = 0; i < repeats; i++, copy = copy + 1 == copies ? 0 : copy + 1) {
        kernels.matmul_i8(out.data(), inp, packed[copy].get(), shape.M, shape.N, shape.K);
    }
    std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    return elapsed.count() / repeats;
}

}  // namespace

void bind_i8(py::module_& m) {
    m.def("kernels_compiled", &kernels_compiled,
          "Names of the instruction sets in this build, slowest first.");
    m.def("kernels_supported", &kernels_supported, "Those of kernels_compiled() that this CPU can run.");
    m.def("matmul_i8", &matmul_i8, py::arg("isa"), py::arg("a"), py::arg("b"),
          "a[M,K] @ b[N,K].T of int8 arrays as int32[M,N]. ValueError for an instruction set that is unknown "
          "or not\n"
          "supported here, another dtype, or shapes that do not fit.");
    m.def("matmul_i8_seconds", &matmul_i8_seconds, py::arg("isa"), py::arg("a"), py::arg("b"),
          py::arg("copies"), py::arg("repeats"),
          "Mean seconds of one matmul_i8 over weights already packed, for benchmarks.");
}
