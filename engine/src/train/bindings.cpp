// engine._train: the trainer as one Python class. engine/training/run.py is its only user outside the tests.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>

#include "bindings_train.h"
#include "model/config_of.h"
#include "trainer.h"

namespace py = pybind11;

namespace plm::train {
namespace {

using Bytes = py::array_t<uint8_t, py::array::c_style>;
using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;

Source source_of(const Bytes& text, double weight) {
    if (text.size() < 16) throw std::invalid_argument("a text to train on needs at least 16 bytes");
    return {text.data(), static_cast<size_t>(text.size()), weight};
}

}  // namespace

OptimizerSettings optimizer_settings_of(const py::dict& d) {
    const auto number = [&](const char* name) { return d[name].cast<float>(); };
    return {d["threads"].cast<int>(), number("beta1"), number("beta2"), number("epsilon"),
            number("momentum"),       number("decay"), number("clip")};
}

namespace {

Settings settings_of(const py::dict& d) {
    Settings s;
    s.batch_size = d["batch_size"].cast<int>(), s.length = d["length"].cast<int>();
    s.shards = d["shards"].cast<int>();
    s.run_windows = d["run_windows"].cast<uint32_t>(), s.seed = d["seed"].cast<uint64_t>();
    s.answer_weight = d["answer_weight"].cast<float>();
    s.optimizer = optimizer_settings_of(d);
    return s;
}

Floats copy_of(const Buffer<float>& values) {
    Floats copy(static_cast<py::ssize_t>(values.size()));
    values.read(copy.mutable_data());
    return copy;
}

void fill(Buffer<float>& values, const Floats& from, const char* what) {
    if (static_cast<size_t>(from.size()) != values.size()) {
        throw std::invalid_argument(std::string("checkpoint: ") + what + " has " +
                                    std::to_string(from.size()) + " numbers, the model needs " +
                                    std::to_string(values.size()));
    }
    values.write(from.data(), values.size());
}

py::dict get_state(Trainer& t) {
    static_assert(std::is_trivially_copyable<SequenceReader>::value,
                  "readers are stored as they lie in memory");
    py::dict d;
    d["weights"] = copy_of(t.optimizer.weights), d["moment1"] = copy_of(t.optimizer.moment1),
    d["moment2"] = copy_of(t.optimizer.moment2);
    auto carried = t.carried();
    d["carried"] = Floats(static_cast<py::ssize_t>(carried.size()), carried.data());
    d["readers"] = Bytes(static_cast<py::ssize_t>(t.readers().size() * sizeof(SequenceReader)),
                         reinterpret_cast<const uint8_t*>(t.readers().data()));
    d["steps"] = t.optimizer.steps;
    return d;
}

void set_state(Trainer& t, const py::dict& d) {
    auto readers = d["readers"].cast<Bytes>();
    if (static_cast<size_t>(readers.size()) != t.readers().size() * sizeof(SequenceReader)) {
        throw std::invalid_argument("checkpoint: it was made with another batch size");
    }
    std::vector<SequenceReader> restored(t.readers().size());
    std::memcpy(static_cast<void*>(restored.data()), readers.data(), static_cast<size_t>(readers.size()));
    for (const SequenceReader& reader : restored) {
        if (!reader.fits(t.sources()))
            throw std::invalid_argument("checkpoint: it was made with other texts");
    }
    fill(t.optimizer.weights, d["weights"].cast<Floats>(), "weights");
    fill(t.optimizer.moment1, d["moment1"].cast<Floats>(), "moment1");
    fill(t.optimizer.moment2, d["moment2"].cast<Floats>(), "moment2");
    auto carried = d["carried"].cast<Floats>();
    t.carry(std::vector<float>(carried.data(), carried.data() + carried.size()));
    t.readers() = std::move(restored);
    t.optimizer.steps = d["steps"].cast<uint64_t>();
}

py::dict get_tensors(const Trainer& t) {
    py::dict d;
    Floats weights = copy_of(t.optimizer.weights);
    for (const Tensor& tensor : t.parameters().tensors()) {
        std::vector<py::ssize_t> shape(tensor.spec.shape.begin(), tensor.spec.shape.end());
        d[tensor.spec.name.c_str()] = py::array_t<float>(shape, weights.data() + tensor.offset);
    }
    return d;
}

void set_tensors(Trainer& t, const py::dict& d) {
    std::vector<float> weights(t.optimizer.weights.size());
    for (const Tensor& tensor : t.parameters().tensors()) {
        if (!d.contains(tensor.spec.name.c_str()))
            throw std::invalid_argument("tensor " + tensor.spec.name + " is missing");
        auto values = d[tensor.spec.name.c_str()].cast<Floats>();
        if (static_cast<size_t>(values.size()) != tensor.size) {
            throw std::invalid_argument("tensor " + tensor.spec.name + " has the wrong size");
        }
        std::memcpy(weights.data() + tensor.offset, values.data(), tensor.size * sizeof(float));
    }
    t.optimizer.weights.write(weights.data(), weights.size());
}

// The rows of sequence_reader.h under the same names. int64, as frameworks want their indices.
py::dict batch_of(const Batch& batch) {
    auto ints = [](const auto& values) {
        py::array_t<int64_t> array(static_cast<py::ssize_t>(values.size()));
        std::copy(values.begin(), values.end(), array.mutable_data());
        return array;
    };
    py::dict d;
    d["lead"] = ints(batch.lead), d["id"] = ints(batch.id);
    d["bigram"] = ints(batch.bigram), d["trigram"] = ints(batch.trigram);
    d["piece"] = ints(batch.piece), d["piece_of"] = ints(batch.piece_of), d["row"] = ints(batch.row);
    d["prefix_lead"] = ints(batch.prefix_lead), d["prefix_pair"] = ints(batch.prefix_pair);
    d["prefix"] = ints(batch.prefix), d["suffix"] = ints(batch.suffix);
    d["target"] = ints(batch.target), d["reset"] = ints(batch.reset);
    return d;
}

py::list get_batches(const Trainer& t) {
    py::list all;
    for (const Batch& batch : t.batches()) all.append(batch_of(batch));
    return all;
}

py::list get_decaying(const Trainer& t) {
    py::list names;
    for (const Tensor& tensor : t.parameters().tensors()) {
        if (tensor.spec.decays) names.append(tensor.spec.name);
    }
    return names;
}

py::dict get_stacked(const Trainer& t) {
    py::dict counts;
    for (const Tensor& tensor : t.parameters().tensors()) {
        if (tensor.spec.stacked) counts[tensor.spec.name.c_str()] = tensor.spec.stacked;
    }
    return counts;
}

}  // namespace
}  // namespace plm::train

PYBIND11_MODULE(_train, m) {
    using namespace plm;
    using namespace plm::train;
    m.doc() = "The trainers of the byte model and of the reader, and the reader.";
    bind_readers(m);
    py::class_<Trainer>(m, "Trainer")
        .def(py::init([](const py::dict& config, const py::dict& settings, const std::string& isa) {
                 return new Trainer(config_of(config), settings_of(settings), select_ops(isa.c_str()));
             }),
             py::arg("config"), py::arg("settings"), py::arg("isa") = "")
        .def(py::init([](const py::dict& config, const py::dict& settings, const py::capsule& ops) {
                 return new Trainer(config_of(config), settings_of(settings),
                                    *ops.get_pointer<const Ops<float>>());
             }),
             py::arg("config"), py::arg("settings"), py::arg("ops"),
             "On a device: `ops` is one of engine._cuda's tables.")
        .def(
            "add_source",
            [](Trainer& t, const Bytes& text, double weight) { t.add_source(source_of(text, weight)); },
            py::arg("text").noconvert(), py::arg("weight"), py::keep_alive<1, 2>(),
            "Adds a text (uint8 array, kept alive) that takes `weight` of the readers' jumps.")
        .def(
            "step",
            [](Trainer& t, float rate) {
                Progress p;
                {
                    py::gil_scoped_release release;
                    p = t.step(rate);
                }
                return py::make_tuple(p.nats, p.bytes, p.gradient_norm, p.read);
            },
            "One optimiser step at a learning rate; returns (sum of losses in nats, bytes predicted, "
            "gradient "
            "norm, bytes read).")
        .def(
            "evaluate",
            [](Trainer& t, const Bytes& text) {
                Source source = source_of(text, 1.0);
                py::gil_scoped_release release;
                return t.evaluate(source);
            },
            "Bits per byte of a text (uint8 array), read in as many pieces as there are readers.")
        .def(
            "evaluate",
            [](Trainer& t, const Bytes& text, const Bytes& counted) {
                Source source = source_of(text, 1.0);
                if (counted.size() != text.size()) throw std::invalid_argument("one mark for each byte");
                py::gil_scoped_release release;
                return t.evaluate(source, counted.data());
            },
            py::arg("text"), py::arg("counted"),
            "The same, and that of the bytes alone whose mark in `counted` (uint8 array) is not 0.")
        .def("tensors", get_tensors, "The weights by name, as float32 copies.")
        .def("set_tensors", set_tensors)
        .def(
            "batches", get_batches,
            "What the last step read: for each shard its rows by name (sequence_reader.h), and its sequences "
            "that began anew.")
        .def_property_readonly("decaying", get_decaying, "Names of the tensors with weight decay.")
        .def_property_readonly("stacked", get_stacked,
                               "The tensors that Muon updates: of how many matrices each is a stack.")
        .def("state", get_state, "All that an exact continuation needs.")
        .def("set_state", set_state)
        .def_property_readonly("isa", &Trainer::isa)
        .def_property_readonly("steps", [](const Trainer& t) { return t.optimizer.steps; })
        .def_property_readonly("size", [](const Trainer& t) { return t.parameters().size(); });
    m.def("supported", [] {
        std::vector<std::string> names;
        for (const char* const* n = supported_ops(); *n != nullptr; ++n) names.emplace_back(*n);
        return names;
    });
    m.def(
        "peak_flops",
        [](const std::string& isa, int threads, double seconds) {
            py::gil_scoped_release release;
            return peak_flops(select_ops(isa.c_str()), threads, seconds);
        },
        py::arg("isa"), py::arg("threads"), py::arg("seconds") = 0.1,
        "FLOP/s that the matrix products' innermost loop reaches on so many threads together.");
}
