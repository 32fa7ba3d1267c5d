#include "bindings_batcher.h"

#include <pybind11/stl.h>

#include "batcher.h"

namespace py = pybind11;
using namespace plm;
using namespace plm::infer;

namespace {

// Generation alone, on the caller's thread.
struct SingleGeneration {
    Generation generation;
    BatchDecoder decoder;
    std::vector<Generation*> row;
};

py::object name_of(FinishReason finish_reason) {
    switch (finish_reason) {
        case FinishReason::kNone:
            return py::none();
        case FinishReason::kEnd:
            return py::str("end");
        case FinishReason::kStop:
            return py::str("stop");
        case FinishReason::kLength:
            return py::str("length");
        case FinishReason::kCancelled:
            return py::str("cancelled");
        case FinishReason::kDeadline:
            return py::str("deadline");
        case FinishReason::kError:
            return py::str("error");
    }
    return py::none();
}

std::unique_ptr<SingleGeneration> start_single(std::shared_ptr<Session> session, const Sampler& sampler,
                                               int max_bytes, bool end_allowed,
                                               const std::vector<std::string>& stops) {
    auto single = std::make_unique<SingleGeneration>(SingleGeneration{
        Generation(std::move(session), sampler, max_bytes, end_allowed, stops, false), {}, {}});
    single->row = {&single->generation};
    return single;
}

// The next character; b"" while it is held back; None when there are no more.
py::object next_character(SingleGeneration& single) {
    Generation& generation = single.generation;
    Character character;
    double bits;
    bool taken = generation.take(&character, &bits);
    if (!taken && generation.finish_reason() == FinishReason::kNone) {
        const py::gil_scoped_release release;
        const Session::Use use(generation.session());
        single.decoder.run(single.row);
        taken = generation.take(&character, &bits);
    }
    if (taken) return py::bytes(reinterpret_cast<const char*>(character.bytes), character.size);
    if (generation.error()) std::rethrow_exception(generation.error());
    return generation.finish_reason() == FinishReason::kNone ? py::object(py::bytes())
                                                             : py::object(py::none());
}

void close_single(SingleGeneration& single) {
    const Session::Use use(single.generation.session());
    single.generation.close();
}

std::shared_ptr<Stream> make_stream(std::shared_ptr<Session> session, const py::bytes& prompt,
                                    const Sampler& sampler, int max_bytes, bool end_allowed,
                                    const std::vector<std::string>& stops, std::optional<double> seconds,
                                    double join, bool costs) {
    Generation generation(session, sampler, max_bytes, end_allowed, stops, costs);
    std::optional<Clock::time_point> deadline;
    if (seconds) deadline = after(Seconds(*seconds));
    return std::make_shared<Stream>(std::move(session), prompt, std::move(generation), deadline,
                                    Seconds(join));
}

py::bytes read_stream(Stream& stream, double timeout) {
    std::string text;
    {
        const py::gil_scoped_release release;
        text = stream.read(Seconds(timeout));
    }
    return text;
}

}  // namespace

void bind_batcher(py::module_& m) {
    py::register_exception<BusyError>(m, "BusyError", PyExc_RuntimeError);

    py::class_<SingleGeneration>(m, "Generation",
                                 "A text that a session writes alone; see engine/src/infer/generation.h.")
        .def(py::init(&start_single), py::arg("session"), py::arg("sampler"), py::arg("max_bytes"),
             py::arg("end_allowed"), py::arg("stops"))
        .def("next", &next_character, "The next character, b\"\" while one is held back, None at the end.")
        .def("cancel", [](SingleGeneration& self) { self.generation.end(FinishReason::kCancelled); })
        .def("close", &close_single, "Takes the session back to behind the last character that was given.")
        .def_property_readonly("finish_reason", [](const SingleGeneration& self) {
            return name_of(self.generation.finish_reason());
        });

    py::class_<Stream, std::shared_ptr<Stream>>(m, "Stream", "See engine/src/infer/batcher.h.")
        .def(py::init(&make_stream), py::kw_only(), py::arg("session"), py::arg("prompt"), py::arg("sampler"),
             py::arg("max_bytes"), py::arg("end_allowed"), py::arg("stops"), py::arg("seconds"),
             py::arg("join"), py::arg("costs"))
        .def("read", &read_stream, py::arg("timeout"))
        .def("cancel", &Stream::cancel)
        .def_property_readonly("ended", &Stream::ended)
        .def_property_readonly("bits", &Stream::bits)
        .def_property_readonly("finish_reason",
                               [](const Stream& self) { return name_of(self.finish_reason()); });

    py::class_<Batcher>(m, "Batcher", "See engine/src/infer/batcher.h.")
        .def(py::init([](std::shared_ptr<Network> network, int threads, int max_batch, int max_waiting,
                         int prefill_bytes, double step_seconds) {
                 return std::make_unique<Batcher>(
                     std::move(network),
                     Batcher::Options{threads, max_batch, max_waiting, prefill_bytes, step_seconds});
             }),
             py::kw_only(), py::arg("network"), py::arg("threads"), py::arg("max_batch"),
             py::arg("max_waiting"), py::arg("prefill_bytes"), py::arg("step_seconds"))
        .def("submit", &Batcher::submit, py::arg("stream"))
        .def_property_readonly("load", &Batcher::load);
}
