#include "bindings_batcher.h"

#include <pybind11/stl.h>

#include "batcher.h"

namespace py = pybind11;
using namespace plm;

namespace {

// Writing alone, on the caller's thread.
struct Alone {
    Writing writing;
    Round round;
    std::vector<Writing*> row;
};

py::object name_of(Ending ending) {
    switch (ending) {
        case Ending::kNone:
            return py::none();
        case Ending::kEnd:
            return py::str("end");
        case Ending::kStop:
            return py::str("stop");
        case Ending::kLength:
            return py::str("length");
        case Ending::kCancelled:
            return py::str("cancelled");
        case Ending::kDeadline:
            return py::str("deadline");
        case Ending::kError:
            return py::str("error");
    }
    return py::none();
}

std::unique_ptr<Alone> start_alone(std::shared_ptr<Session> session, const Sampler& sampler, int room,
                                   bool end_allowed, const std::vector<std::string>& stops) {
    auto alone = std::make_unique<Alone>(
        Alone{Writing(std::move(session), sampler, room, end_allowed, stops), {}, {}});
    alone->row = {&alone->writing};
    return alone;
}

// The next character; b"" while it is held back; None when there are no more.
py::object next_character(Alone& alone) {
    Writing& writing = alone.writing;
    Character character;
    double bits;
    bool taken = writing.take(&character, &bits);
    if (!taken && writing.ending() == Ending::kNone) {
        const py::gil_scoped_release release;
        const Session::Use use(writing.session());
        alone.round.run(alone.row);
        taken = writing.take(&character, &bits);
    }
    if (taken) return py::bytes(reinterpret_cast<const char*>(character.bytes), character.size);
    if (writing.error()) std::rethrow_exception(writing.error());
    return writing.ending() == Ending::kNone ? py::object(py::bytes()) : py::object(py::none());
}

void close_alone(Alone& alone) {
    const Session::Use use(alone.writing.session());
    alone.writing.close();
}

std::shared_ptr<Stream> make_stream(std::shared_ptr<Session> session, const py::bytes& prompt,
                                    const Sampler& sampler, int room, bool end_allowed,
                                    const std::vector<std::string>& stops, std::optional<double> seconds,
                                    double join) {
    Writing writing(session, sampler, room, end_allowed, stops);
    std::optional<Clock::time_point> deadline;
    if (seconds) deadline = after(Seconds(*seconds));
    return std::make_shared<Stream>(std::move(session), prompt, std::move(writing), deadline, Seconds(join));
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

    py::class_<StopStrings>(m, "StopStrings", "See engine/src/infer/stop_strings.h; for tests.")
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

    py::class_<Alone>(m, "Writing", "A text that a session writes alone; see engine/src/infer/writing.h.")
        .def(py::init(&start_alone), py::arg("session"), py::arg("sampler"), py::arg("room"),
             py::arg("end_allowed"), py::arg("stops"))
        .def("next", &next_character, "The next character, b\"\" while one is held back, None at the end.")
        .def("cancel", [](Alone& self) { self.writing.end(Ending::kCancelled); })
        .def("close", &close_alone, "Takes the session back to behind the last character that was given.")
        .def_property_readonly("ending", [](const Alone& self) { return name_of(self.writing.ending()); });

    py::class_<Stream, std::shared_ptr<Stream>>(m, "Stream", "See engine/src/infer/batcher.h.")
        .def(py::init(&make_stream), py::kw_only(), py::arg("session"), py::arg("prompt"), py::arg("sampler"),
             py::arg("room"), py::arg("end_allowed"), py::arg("stops"), py::arg("seconds"), py::arg("join"))
        .def("read", &read_stream, py::arg("timeout"))
        .def("cancel", &Stream::cancel)
        .def_property_readonly("ended", &Stream::ended)
        .def_property_readonly("bits", &Stream::bits)
        .def_property_readonly("ending", [](const Stream& self) { return name_of(self.ending()); });

    py::class_<Batcher>(m, "Batcher", "See engine/src/infer/batcher.h.")
        .def(py::init([](std::shared_ptr<Network> network, int threads, int max_batch, int max_waiting,
                         int piece, double step_seconds) {
                 return std::make_unique<Batcher>(
                     std::move(network),
                     Batcher::Options{threads, max_batch, max_waiting, piece, step_seconds});
             }),
             py::kw_only(), py::arg("network"), py::arg("threads"), py::arg("max_batch"),
             py::arg("max_waiting"), py::arg("piece"), py::arg("step_seconds"))
        .def("submit", &Batcher::submit, py::arg("stream"))
        .def_property_readonly("load", &Batcher::load);
}
