#include "bindings_sampling.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>

#include "sampling.h"
#include "weights.h"

namespace py = pybind11;
using namespace plm;
using namespace plm::infer;

namespace {

using Logits = py::array_t<float, py::array::c_style | py::array::forcecast>;

// A text that has just these bytes pending.
TextCutter text_with(const std::string& pending, const std::string& encoding = "utf-8") {
    TextCutter text(encoding_named(encoding));
    if (!text.set_pending(pending))
        throw std::invalid_argument("the pending bytes must be the beginning of a character");
    return text;
}

// The one character that these bytes are, well formed or not.
Character character_of(const std::string& bytes) {
    Utf8Cutter cutter;
    Character closed[2];
    int count = 0;
    for (size_t i = 0; i < bytes.size() && count == 0; ++i) {
        count = cutter.push(uint8_t(bytes[i]), closed);
        if (count > 0 && i + 1 < bytes.size()) count = -1;
    }
    if (count == 0) count = cutter.flush(closed);
    if (count != 1) throw std::invalid_argument("expected the bytes of exactly one character");
    return closed[0];
}

const float* checked_logits(const Logits& logits) {
    if (logits.ndim() != 1 || logits.shape(0) != 256)
        throw std::invalid_argument("logits must have shape (256,)");
    return logits.data();
}

const VectorOps& widest(const std::string& isa = "") {
    return *select_vector_ops(select_kernels(isa));
}

Keep keep_by_name(const std::string& name) {
    if (name == "greedy") return Keep::kGreedy;
    if (name == "top-e") return Keep::kTopE;
    if (name == "top-p") return Keep::kTopP;
    if (name == "top-k") return Keep::kTopK;
    if (name == "min-p") return Keep::kMinP;
    if (name == "typical") return Keep::kTypical;
    if (name == "wygpt") return Keep::kWygpt;
    throw std::invalid_argument("unknown sampling method '" + name + "'");
}

void bind_text(py::module_& m) {
    m.def(
        "character_rows",
        [](const std::string& bytes) {
            const Character character = character_of(bytes);
            return py::make_tuple(character.lead(), character.id());
        },
        "The rows of one character in lead_embedding and char_embedding.", py::arg("character"));
    m.def(
        "allowed_bytes",
        [](const std::string& pending, bool end_allowed) {
            const Utf8Cutter cutter = text_with(pending).utf8();
            const ByteMask mask = allowed_bytes(cutter.pending, cutter.size, end_allowed);
            std::string out;
            for (int b = 0; b < 256; ++b)
                if (mask[b]) out.push_back(char(b));
            return py::bytes(out);
        },
        "The bytes that generation may draw after the pending ones, in order.", py::arg("pending"),
        py::arg("end_allowed"));
}

void bind_sampler(py::module_& m) {
    py::class_<Sampler>(m, "Sampler", "Draws the bytes of one answer; see engine/src/infer/sampling.h.")
        .def(py::init([](const std::string& keep, double amount, double temperature,
                         double repetition_penalty, int repetition_window, uint64_t seed) {
                 return Sampler(
                     {keep_by_name(keep), amount, temperature, repetition_penalty, repetition_window}, seed);
             }),
             py::arg("keep"), py::arg("amount"), py::arg("temperature"), py::arg("repetition_penalty"),
             py::arg("repetition_window"), py::arg("seed"))
        .def(
            "sample",
            [](Sampler& self, const Logits& logits, const std::string& pending, bool end_allowed) {
                return self.sample(widest(), checked_logits(logits), text_with(pending), end_allowed);
            },
            py::arg("logits"), py::arg("pending") = py::bytes(""), py::arg("end_allowed") = true)
        .def(
            "probabilities",
            [](const Sampler& self, const Logits& logits, const std::string& pending, bool end_allowed,
               const std::string& encoding, const std::string& isa) {
                py::array_t<double> out(256);
                self.probabilities(out.mutable_data(), widest(isa), checked_logits(logits),
                                   text_with(pending, encoding), end_allowed);
                return out;
            },
            py::arg("logits"), py::arg("pending") = py::bytes(""), py::arg("end_allowed") = true,
            py::arg("encoding") = "utf-8", py::arg("isa") = "")
        .def(
            "read",
            [](Sampler& self, const py::bytes& bytes) {
                const std::string_view view = bytes;
                self.read(reinterpret_cast<const uint8_t*>(view.data()), view.size());
            },
            py::arg("bytes"), "Text that was there before the first draw, for samplers that look back on it.")
        .def(
            "accept",
            [](Sampler& self, const std::string& character) { self.accept(character_of(character)); },
            py::arg("character"));
}

}  // namespace

void bind_sampling(py::module_& m) {
    bind_text(m);
    bind_sampler(m);
}
