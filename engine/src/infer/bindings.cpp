// The module engine._core: what Python sees of inference. Checks on types and sizes that would be memory
// errors below are made here; all else is checked by the Python code, which knows the names to put in
// messages.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string_view>

#include "bindings_batcher.h"
#include "bindings_sampling.h"
#include "character_model.h"
#include "model/config_of.h"
#include "model/tensors.h"
#include "peak.h"
#include "session.h"
#include "tensors_of.h"
#include "wygpt.h"

namespace py = pybind11;
using namespace plm;
using namespace plm::infer;

namespace {

// For each byte the patches that it closes.
py::list cut(const py::bytes& bytes, const std::string& patch, int longest) {
    if (longest < 1 || longest > kLongestRun) throw std::invalid_argument("impossible length of a patch");
    PatchCutter cutter;
    cutter.rule = rule_named(patch), cutter.longest = uint8_t(longest);
    py::list out;
    for (const char byte : std::string_view(bytes)) {
        Patch closed[2];
        const int count = cutter.push(uint8_t(byte), closed);
        py::list patches;
        for (int i = 0; i < count; ++i)
            patches.append(py::bytes(reinterpret_cast<const char*>(closed[i].bytes), closed[i].size));
        out.append(patches);
    }
    return out;
}

// Name to shape, in the order of the forward pass.
py::dict tensor_shapes(const py::dict& config) {
    py::dict out;
    for (const TensorSpec& spec : tensor_specs(config_of(config)))
        out[py::str(spec.name)] = py::tuple(py::cast(spec.shape));
    return out;
}

py::dict reader_tensor_shapes(const py::dict& config) {
    py::dict out;
    for (const TensorSpec& spec : reader_tensors(reader_config_of(config)))
        out[py::str(spec.name)] = py::tuple(py::cast(spec.shape));
    return out;
}

std::shared_ptr<Network> make_network(const py::dict& config, const py::dict& tensors,
                                      const std::string& isa) {
    return std::make_shared<CharacterModel>(Weights(
        checked(config_of(config)), [&](const std::string& name) { return view_of(tensors, name); }, isa));
}

std::shared_ptr<Network> make_wygpt(int context, int width, int layers, int heads,
                                    const std::string& encoding, const py::dict& tensors,
                                    const std::string& isa) {
    if (context < 1 || heads < 1 || width < 1 || width % heads != 0 || layers < 0)
        throw std::invalid_argument("impossible sizes");
    const WygptConfig config{context, width, layers, heads, encoding_named(encoding)};
    return std::make_shared<WygptNetwork>(
        WygptWeights(config, [&](const std::string& name) { return view_of(tensors, name); }, isa));
}

const uint8_t* data_of(std::string_view bytes) {
    return reinterpret_cast<const uint8_t*>(bytes.data());
}

void feed(Session& session, const py::bytes& bytes) {
    const std::string_view view = bytes;
    const py::gil_scoped_release release;
    session.feed(data_of(view), view.size(), nullptr);
}

py::array_t<double> score(Session& session, const py::bytes& bytes) {
    const std::string_view view = bytes;
    py::array_t<double> bits(py::ssize_t(view.size()));
    double* out = bits.mutable_data();
    const py::gil_scoped_release release;
    session.feed(data_of(view), view.size(), out);
    return bits;
}

// One array for each text, all in one batch.
py::list score_each(Session& session, const std::vector<py::bytes>& texts) {
    std::vector<std::string_view> views;
    size_t size = 0;
    for (const py::bytes& text : texts) {
        views.push_back(text);
        size += views.back().size();
    }
    std::vector<double> bits(size);
    {
        const py::gil_scoped_release release;
        session.score_each(views, bits.data());
    }
    py::list out;
    const double* next = bits.data();
    for (const std::string_view view : views) {
        out.append(py::array_t<double>(py::ssize_t(view.size()), next));
        next += view.size();
    }
    return out;
}

void check_given(const std::vector<Session*>& sessions) {
    for (const Session* session : sessions)
        if (!session) throw std::invalid_argument("a session is None");
}

void feed_bytes(const std::vector<Session*>& sessions, const py::bytes& bytes) {
    const std::string_view view = bytes;
    if (sessions.size() != view.size()) throw std::invalid_argument("one byte for each session");
    check_given(sessions);
    const py::gil_scoped_release release;
    Session::feed_bytes(sessions, data_of(view));
}

py::array_t<float> logits_of(const std::vector<Session*>& sessions) {
    check_given(sessions);
    py::array_t<float> out({py::ssize_t(sessions.size()), py::ssize_t(256)});
    float* data = out.mutable_data();
    const py::gil_scoped_release release;
    Session::logits_of(sessions, data);
    return out;
}

py::array_t<float> logits(Session& session) {
    py::array_t<float> out(256);
    session.logits(out.mutable_data());
    return out;
}

py::tuple save(Session& session) {
    std::string pending;
    const std::string state = session.save(&pending);
    return py::make_tuple(py::bytes(state), py::bytes(pending));
}

void restore(Session& session, const py::bytes& state, const py::bytes& pending) {
    session.restore(state, pending);
}

}  // namespace

PYBIND11_MODULE(_core, m) {
    m.doc() = "Inference: sessions of a model, the batcher, sampling.";
    bind_sampling(m);

    py::class_<Network, std::shared_ptr<Network>>(m, "Network", "Weights ready for inference; never changes.")
        .def(py::init(&make_network), py::kw_only(), py::arg("config"), py::arg("tensors"),
             py::arg("isa") = "")
        .def_static("wygpt", &make_wygpt, py::kw_only(), py::arg("context"), py::arg("width"),
                    py::arg("layers"), py::arg("heads"), py::arg("encoding"), py::arg("tensors"),
                    py::arg("isa") = "", "The weights of an imported wyGPT model.")
        .def_property_readonly("isa", &Network::isa)
        .def_property_readonly("vector_ops", [](const Network& n) { return n.vector_ops().name; });

    py::class_<Session, std::shared_ptr<Session>>(
        m, "Session", "One text; see engine/src/infer/session.h. RuntimeError if two threads use it.")
        .def(py::init<std::shared_ptr<Network>>(), py::arg("network"))
        .def("feed", &feed, py::arg("bytes"))
        .def("score", &score, py::arg("bytes"), "Feed, and return the bits of each byte.")
        .def("score_each", &score_each, py::arg("texts"),
             "The bits of each byte of many texts, each as if it alone came next; the session stays.")
        .def(
            "fork", [](Session& s) { return std::shared_ptr<Session>(s.fork()); },
            "Another session at the same place.")
        .def("logits", &logits, "Logits [256] of the next byte.")
        .def("save", &save, "The state as bytes, and the pending bytes.")
        .def("restore", &restore, py::arg("state"), py::arg("pending"));

    bind_batcher(m);

    m.def("feed_bytes", &feed_bytes, py::arg("sessions"), py::arg("bytes"),
          "Read one byte in each session, all in one batch.");
    m.def("logits_of", &logits_of, py::arg("sessions"),
          "Logits [sessions, 256] of the next byte of each, in one batch.");
    m.def("cut", &cut, py::arg("bytes"), py::arg("patch"), py::arg("longest"),
          "For each byte of a text the patches that it closes; see engine/src/text/patches.h.");
    m.def("tensor_shapes", &tensor_shapes, py::arg("config"),
          "The tensors of a model by name, (out, in) for matrices, in the order of the forward pass.");
    m.def("reader_tensor_shapes", &reader_tensor_shapes, py::arg("config"), "The same of a reader.");
    m.def(
        "measure_peak",
        [](const std::string& isa, size_t block, double seconds) {
            const py::gil_scoped_release release;
            const PeakRates rates = measure_peak(isa.c_str(), block, seconds);
            return std::make_pair(rates.multiply_adds, rates.read);
        },
        py::arg("isa"), py::arg("block"), py::arg("seconds"),
        "The most int8 multiply-adds a second, and bytes/s read from a block of so many bytes, on one core.");
}
