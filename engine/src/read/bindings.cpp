// engine._train's readers, as Python sees them. engine/reading is their only user outside the tests.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>

#include "example_of.h"
#include "model/config_of.h"
#include "reader.h"
#include "train/bindings_train.h"
#include "trainer.h"

namespace py = pybind11;

namespace plm::read {
namespace {

using Bytes = py::array_t<uint8_t, py::array::c_style>;
using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;

std::vector<float> flat(const Parameters& parameters, const py::dict& tensors) {
    std::vector<float> weights(parameters.size());
    for (const train::Tensor& tensor : parameters.tensors()) {
        const char* name = tensor.spec.name.c_str();
        if (!tensors.contains(name))
            throw std::invalid_argument("tensor " + tensor.spec.name + " is missing");
        const auto values = tensors[name].cast<Floats>();
        if (static_cast<size_t>(values.size()) != tensor.size)
            throw std::invalid_argument("tensor " + tensor.spec.name + " has the wrong size");
        std::memcpy(weights.data() + tensor.offset, values.data(), tensor.size * sizeof(float));
    }
    return weights;
}

py::dict tensors_of(const Trainer& t) {
    py::dict d;
    for (const train::Tensor& tensor : t.parameters().tensors()) {
        const std::vector<py::ssize_t> shape(tensor.spec.shape.begin(), tensor.spec.shape.end());
        d[tensor.spec.name.c_str()] = py::array_t<float>(shape, t.optimizer.weights.data() + tensor.offset);
    }
    return d;
}

Settings settings_of(const py::dict& d) {
    return {d["batch_size"].cast<int>(), d["shards"].cast<int>(),    d["passages"].cast<int>(),
            d["dropout"].cast<float>(),  d["seed"].cast<uint64_t>(), train::optimizer_settings_of(d)};
}

Floats copy_of(const Buffer<float>& values) {
    return Floats(static_cast<py::ssize_t>(values.size()), values.data());
}

py::dict state_of(const Trainer& t) {
    py::dict d;
    d["weights"] = copy_of(t.optimizer.weights), d["moment1"] = copy_of(t.optimizer.moment1);
    d["moment2"] = copy_of(t.optimizer.moment2), d["steps"] = t.optimizer.steps;
    const Position position = t.position();
    d["position"] = Bytes(sizeof position, reinterpret_cast<const uint8_t*>(&position));
    return d;
}

void set_state(Trainer& t, const py::dict& d) {
    const auto position = d["position"].cast<Bytes>();
    Position at;
    if (static_cast<size_t>(position.size()) != sizeof at)
        throw std::invalid_argument("checkpoint: of another version");
    std::memcpy(&at, position.data(), sizeof at);
    const std::pair<const char*, Buffer<float>*> parts[] = {{"weights", &t.optimizer.weights},
                                                            {"moment1", &t.optimizer.moment1},
                                                            {"moment2", &t.optimizer.moment2}};
    for (const auto& [name, buffer] : parts) {
        const auto values = d[name].cast<Floats>();
        if (static_cast<size_t>(values.size()) != buffer->size())
            throw std::invalid_argument("checkpoint: it is of a reader of other sizes");
        buffer->write(values.data(), buffer->size());
    }
    t.optimizer.steps = d["steps"].cast<uint64_t>();
    t.move_to(at);
}

void bind_trainer(py::module_& m) {
    py::class_<Trainer>(m, "ReaderTrainer")
        .def(py::init([](const py::dict& config, const py::dict& settings, const std::string& isa) {
                 return new Trainer(reader_config_of(config), settings_of(settings),
                                    train::select_ops(isa.c_str()));
             }),
             py::arg("config"), py::arg("settings"), py::arg("isa") = "")
        .def("add_source", &Trainer::add_source, py::arg("weight"),
             "A source of examples that takes `weight` of the draws; returns its number.")
        .def(
            "add",
            [](Trainer& t, int source, Characters question, const Passages& passages, const Spans& answers) {
                t.add(source, example_of(std::move(question), passages, answers));
            },
            py::arg("source"), py::arg("question"), py::arg("passages"), py::arg("answers"),
            "An example: passages are (title, text), answers (passage, first character, end) are "
            "alternatives; "
            "none, if no passage answers.")
        .def(
            "step",
            [](Trainer& t, float rate) {
                Progress p;
                {
                    py::gil_scoped_release release;
                    p = t.step(rate);
                }
                return py::make_tuple(p.nats, p.examples, p.gradient_norm);
            },
            "One optimiser step; returns (mean loss in nats, examples, gradient norm).")
        .def("tensors", tensors_of, "The weights by name, as float32 copies.")
        .def("set_tensors",
             [](Trainer& t, const py::dict& d) {
                 t.optimizer.weights.write(flat(t.parameters(), d).data(), t.parameters().size());
             })
        .def("state", state_of, "All that an exact continuation needs.")
        .def("set_state", set_state)
        .def_property_readonly("isa", &Trainer::isa)
        .def_property_readonly("steps", [](const Trainer& t) { return t.optimizer.steps; });
}

void bind_reader(py::module_& m) {
    py::class_<Reader>(m, "Reader")
        .def(py::init([](const py::dict& config, const py::dict& tensors, const std::string& isa) {
                 const ReaderConfig c = reader_config_of(config);
                 return new Reader(c, flat(Parameters(reader_tensors(c)), tensors),
                                   train::select_ops(isa.c_str()));
             }),
             py::arg("config"), py::arg("tensors"), py::arg("isa") = "")
        .def(
            "read",
            [](Reader& r, Characters question, const Passages& passages, int count) {
                const Example e = example_of(std::move(question), passages, {});
                Reading reading;
                {
                    py::gil_scoped_release release;
                    reading = r.read(e, count);
                }
                py::list spans;
                for (const Quotation& q : reading.spans)
                    spans.append(
                        py::make_tuple(q.span.passage, q.span.first, q.span.last + 1, q.probability));
                return py::make_tuple(spans, reading.answerable);
            },
            py::arg("question"), py::arg("passages"), py::arg("count") = 1,
            "((passage, first character, end, probability) of spans that do not overlap, likeliest first; "
            "the "
            "probability that there is an answer)")
        .def(
            "log_probabilities",
            [](Reader& r, Characters question, const Passages& passages, const Spans& spans) {
                const Example e = example_of(std::move(question), passages, spans);
                py::gil_scoped_release release;
                return r.log_probabilities(e);
            },
            "log P, in nats, of each span among all spans of these passages and \"nothing\".")
        .def_property_readonly("isa", &Reader::isa);
}

}  // namespace
}  // namespace plm::read

namespace plm::train {

void bind_readers(py::module_& m) {
    read::bind_trainer(m);
    read::bind_reader(m);
}

}  // namespace plm::train
