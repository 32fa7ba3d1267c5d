// What tests ask of inference's text rules, hashes and float work, one by one.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "bindings.h"
#include "cpu_vnni/kernels.h"
#include "infer/vector_ops.h"
#include "splitmix.h"
#include "text/stop_strings.h"
#include "text/text.h"
#include "wygpt_hash.h"

namespace py = pybind11;
using namespace plm;
using namespace plm::infer;

namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style>;

py::bytes to_bytes(const Character& character) {
    return py::bytes(reinterpret_cast<const char*>(character.bytes), character.size);
}

const VectorOps& vector_ops_named(const std::string& isa) {
#if defined(__x86_64__)
    for (const VectorOps* table : {&vector_ops_avx2, &vector_ops_avx512})
        if (isa == table->name && cpu_vnni_supported(isa == "avx2" ? "avx2" : "avx512vnni")) return *table;
#elif defined(__aarch64__)
    if (isa == vector_ops_neon.name) return vector_ops_neon;
#endif
    if (isa != vector_ops_portable.name) throw std::invalid_argument("no such instruction set here");
    return vector_ops_portable;
}

py::array_t<float> exp_minus(const std::string& isa, const Array<float>& x) {
    py::array_t<float> out(x.size());
    vector_ops_named(isa).exp_minus(out.mutable_data(), x.data(), int(x.size()));
    return out;
}

void bind_cutter(py::module_& m) {
    py::class_<Utf8Cutter>(m, "Utf8Cutter", "Cuts a byte stream into characters, malformed ones included.")
        .def(py::init<>())
        .def("push",
             [](Utf8Cutter& self, uint8_t byte) {
                 Character closed[2];
                 const int count = self.push(byte, closed);
                 py::list out;
                 for (int i = 0; i < count; ++i) out.append(to_bytes(closed[i]));
                 return out;
             })
        .def("flush",
             [](Utf8Cutter& self) {
                 Character closed;
                 return self.flush(&closed) ? py::object(to_bytes(closed)) : py::object(py::none());
             })
        .def_property_readonly("pending",
                               [](const Utf8Cutter& self) {
                                   return py::bytes(reinterpret_cast<const char*>(self.pending), self.size);
                               })
        .def_property_readonly("prefix_lead", &Utf8Cutter::prefix_lead)
        .def_property_readonly("prefix_pair", &Utf8Cutter::prefix_pair);
}

}  // namespace

void bind_inference(py::module_& m) {
    bind_cutter(m);
    py::class_<StopStrings>(m, "StopStrings", "See engine/src/text/stop_strings.h; for tests.")
        .def(py::init(
            [](const std::vector<std::string>& stops) { return StopStrings(stops, Encoding::kUtf8); }))
        .def(
            "push",
            [](StopStrings& self, const std::string& text) {
                TextCutter cutter(Encoding::kUtf8);
                Character closed[2];
                int complete = 0;
                for (const char byte : text)
                    if (cutter.push(uint8_t(byte), closed) > 0) complete = self.push(closed[0]);
                return py::make_tuple(complete, self.held());
            },
            py::arg("character"), "How much of the text is taken up, and how much must be held back.");

    m.def(
        "splitmix64",
        [](uint64_t seed, int count) {
            SplitMix64 generator{seed};
            std::vector<uint64_t> out;
            for (int i = 0; i < count; ++i) out.push_back(generator.next());
            return out;
        },
        "The first numbers of the sampler's generator.", py::arg("seed"), py::arg("count"));
    m.def("wygpt_hash", &wygpt_hash, py::arg("byte"), py::arg("row"));
    m.def("exp_minus", &exp_minus, py::arg("isa"), py::arg("x"), "exp(-x) as inference has it.");
}
