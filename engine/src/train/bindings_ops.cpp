// The operators as Python functions over numpy arrays: f(isa, ...) with float32 for an instruction set's
// table, float64 for the reference table ("float64"). Outputs are returned; gradients that an operator adds
// to start at zero.
#include "bindings_ops.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>

#include "model/config_of.h"
#include "network.h"

namespace py = pybind11;

namespace plm::train {
namespace {

template <class T>
using Array = py::array_t<T, py::array::c_style>;
using Ints = py::array_t<int, py::array::c_style | py::array::forcecast>;
using Bytes = py::array_t<uint8_t, py::array::c_style | py::array::forcecast>;
using Shape = std::vector<py::ssize_t>;

template <class T>
const Ops<T>& table(const std::string& isa);
template <>
const Ops<float>& table(const std::string& isa) {
    return select_ops(isa.c_str());
}
template <>
const Ops<double>& table(const std::string& isa) {
    if (isa != "float64") throw std::invalid_argument("float64 arrays go to the table float64 alone");
    return ops_float64;
}

template <class T>
Array<T> zeros(const Shape& shape) {
    Array<T> a(shape);
    std::fill_n(a.mutable_data(), a.size(), T(0));
    return a;
}

template <class T>
int dim(const Array<T>& a, int axis) {
    return static_cast<int>(a.shape(axis));
}

template <class T>
void bind_norm_and_embedding(py::module_& m) {
    using A = const Array<T>&;
    m.def("embedding_forward", [](const std::string& isa, A t, const Ints& ids) {
        auto out = zeros<T>({ids.size(), t.shape(1)});
        table<T>(isa).embedding_forward(out.mutable_data(), t.data(), ids.data(), dim(out, 0), dim(t, 1),
                                        false);
        return out;
    });
    m.def("embedding_backward", [](const std::string& isa, A dout, const Ints& ids, int rows) {
        auto d = zeros<T>({rows, dout.shape(1)});
        table<T>(isa).embedding_backward(d.mutable_data(), dout.data(), ids.data(), dim(dout, 0),
                                         dim(dout, 1));
        return d;
    });
    m.def("rmsnorm_forward", [](const std::string& isa, A inp, A weight) {
        auto out = zeros<T>({inp.shape(0), inp.shape(1)}), rinv = zeros<T>({inp.shape(0)});
        table<T>(isa).rmsnorm_forward(out.mutable_data(), rinv.mutable_data(), inp.data(), weight.data(),
                                      dim(inp, 0), dim(inp, 1));
        return py::make_tuple(out, rinv);
    });
    m.def("rmsnorm_backward", [](const std::string& isa, A dout, A inp, A rinv, A weight) {
        auto dinp = zeros<T>({inp.shape(0), inp.shape(1)}), dweight = zeros<T>({inp.shape(1)});
        table<T>(isa).rmsnorm_backward(dinp.mutable_data(), dweight.mutable_data(), dout.data(), inp.data(),
                                       rinv.data(), weight.data(), dim(inp, 0), dim(inp, 1));
        return py::make_tuple(dinp, dweight);
    });
}

template <class T>
void bind_conv_and_scan(py::module_& m) {
    using A = const Array<T>&;
    m.def("conv_forward", [](const std::string& isa, A inp, A history, A weight) {
        auto out = zeros<T>({inp.shape(0), inp.shape(1), inp.shape(2)});
        table<T>(isa).conv_forward(out.mutable_data(), inp.data(), history.data(), weight.data(), dim(inp, 0),
                                   dim(inp, 1), dim(inp, 2));
        return out;
    });
    m.def("conv_backward", [](const std::string& isa, A dout, A inp, A history, A weight) {
        auto dinp = zeros<T>({inp.shape(0), inp.shape(1), inp.shape(2)}),
             dweight = zeros<T>({inp.shape(2), 3});
        table<T>(isa).conv_backward(dinp.mutable_data(), dweight.mutable_data(), dout.data(), inp.data(),
                                    history.data(), weight.data(), dim(inp, 0), dim(inp, 1), dim(inp, 2));
        return py::make_tuple(dinp, dweight);
    });
    m.def("scan_forward", [](const std::string& isa, A fvo, A bias, A s0) {
        Shape shape{fvo.shape(0), fvo.shape(1), bias.shape(0)};
        auto y = zeros<T>(shape), a = zeros<T>(shape), s = zeros<T>(shape);
        table<T>(isa).scan_forward(y.mutable_data(), a.mutable_data(), s.mutable_data(), fvo.data(),
                                   bias.data(), s0.data(), dim(fvo, 0), dim(fvo, 1), dim(bias, 0));
        return py::make_tuple(y, a, s);
    });
    m.def("scan_backward", [](const std::string& isa, A dy, A fvo, A a, A s, A s0) {
        auto dfvo = zeros<T>({fvo.shape(0), fvo.shape(1), fvo.shape(2)}), dbias = zeros<T>({s0.shape(1)});
        table<T>(isa).scan_backward(dfvo.mutable_data(), dbias.mutable_data(), dy.data(), fvo.data(),
                                    a.data(), s.data(), s0.data(), dim(fvo, 0), dim(fvo, 1), dim(s0, 1));
        return py::make_tuple(dfvo, dbias);
    });
}

template <class T>
void bind_candidates(py::module_& m) {
    using A = const Array<T>&;
    m.def("groupnorm_forward", [](const std::string& isa, A inp) {
        auto out = zeros<T>({inp.shape(0), inp.shape(1)}), rinv = zeros<T>({inp.shape(0)});
        table<T>(isa).groupnorm_forward(out.mutable_data(), rinv.mutable_data(), inp.data(), dim(inp, 0),
                                        dim(inp, 1));
        return py::make_tuple(out, rinv);
    });
    m.def("groupnorm_backward", [](const std::string& isa, A dout, A out, A rinv) {
        auto dinp = zeros<T>({out.shape(0), out.shape(1)});
        table<T>(isa).groupnorm_backward(dinp.mutable_data(), dout.data(), out.data(), rinv.data(),
                                         dim(out, 0), dim(out, 1));
        return dinp;
    });
    m.def("bilinear_forward", [](const std::string& isa, A inp) {
        auto out = zeros<T>({inp.shape(0), inp.shape(1) / 2});
        table<T>(isa).bilinear_forward(out.mutable_data(), inp.data(), dim(out, 0), dim(out, 1));
        return out;
    });
    m.def("bilinear_backward", [](const std::string& isa, A dout, A inp) {
        auto dinp = zeros<T>({inp.shape(0), inp.shape(1)});
        table<T>(isa).bilinear_backward(dinp.mutable_data(), dout.data(), inp.data(), dim(dout, 0),
                                        dim(dout, 1));
        return dinp;
    });
}

template <class T>
void bind_gates_and_loss(py::module_& m) {
    using A = const Array<T>&;
    m.def("swiglu_forward", [](const std::string& isa, A inp) {
        auto out = zeros<T>({inp.shape(0), inp.shape(1) / 2});
        table<T>(isa).swiglu_forward(out.mutable_data(), inp.data(), dim(out, 0), dim(out, 1));
        return out;
    });
    m.def("swiglu_backward", [](const std::string& isa, A dout, A inp) {
        auto dinp = zeros<T>({inp.shape(0), inp.shape(1)});
        table<T>(isa).swiglu_backward(dinp.mutable_data(), dout.data(), inp.data(), dim(dout, 0),
                                      dim(dout, 1));
        return dinp;
    });
    m.def("cross_entropy_forward", [](const std::string& isa, A logits, const Bytes& targets) {
        auto losses = zeros<T>({logits.shape(0)});
        table<T>(isa).cross_entropy_forward(losses.mutable_data(), logits.data(), targets.data(),
                                            dim(logits, 0), dim(logits, 1));
        return losses;
    });
    m.def("cross_entropy_backward", [](const std::string& isa, A logits, const Bytes& targets, T scale) {
        auto d = zeros<T>({logits.shape(0), logits.shape(1)});
        table<T>(isa).cross_entropy_backward(d.mutable_data(), logits.data(), targets.data(), scale,
                                             dim(logits, 0), dim(logits, 1));
        return d;
    });
    m.def("adamw_update", [](const std::string& isa, A weight, A m1, A m2, A grad, T rate, T beta1, T beta2,
                             T epsilon, T decay, T clip, T c1, T c2) {
        Array<T> w(weight.size(), weight.data()), a(m1.size(), m1.data()), b(m2.size(), m2.data());
        table<T>(isa).adamw_update(w.mutable_data(), a.mutable_data(), b.mutable_data(), grad.data(),
                                   w.size(), rate, beta1, beta2, epsilon, decay, clip, c1, c2);
        return py::make_tuple(w, a, b);
    });
}

template <class T>
void bind_muon(py::module_& m) {
    using A = const Array<T>&;
    m.def("muon_update",
          [](const std::string& isa, A weight, A m1, A grad, T rate, T momentum, T decay, T clip) {
              int rows = dim(weight, 0), columns = dim(weight, 1);
              auto w = zeros<T>({rows, columns}), a = zeros<T>({rows, columns});
              std::copy_n(weight.data(), weight.size(), w.mutable_data());
              std::copy_n(m1.data(), m1.size(), a.mutable_data());
              const MuonMatrix<T> x{w.mutable_data(), a.mutable_data(), grad.data(), rows, columns, decay};
              std::vector<T> space(x.space());
              table<T>(isa).muon_update(table<T>(isa), &x, 1, space.data(), rate, momentum, clip);
              return py::make_tuple(w, a);
          });
}

template <class T>
void bind_matmul(py::module_& m) {
    using A = const Array<T>&;
    m.def("matmul_forward", [](const std::string& isa, A inp, A weight, A onto) {
        int M = dim(inp, 0), K = dim(inp, 1), N = dim(weight, 0);
        bool accumulate = onto.size() > 0;
        auto out = zeros<T>({M, N});
        if (accumulate) std::copy_n(onto.data(), onto.size(), out.mutable_data());
        table<T>(isa).matmul_forward(out.mutable_data(), inp.data(), weight.data(), M, N, K, accumulate);
        return out;
    });
    m.def("matmul_backward", [](const std::string& isa, A dout, A inp, A weight) {
        int M = dim(inp, 0), K = dim(inp, 1), N = dim(weight, 0);
        auto dinp = zeros<T>({M, K}), dweight = zeros<T>({N, K});
        table<T>(isa).matmul_backward_input(dinp.mutable_data(), dout.data(), weight.data(), M, N, K, false);
        table<T>(isa).matmul_backward_weight(dweight.mutable_data(), dout.data(), inp.data(), M, N, K);
        return py::make_tuple(dinp, dweight);
    });
}

// Losses (nats) of every byte of a text that begins as a document, read in windows; after each window
// `then(batch)`.
template <class T, class F>
Array<T> losses_of(Network<T>& net, const Config& c, const Array<T>& weights, const Bytes& text, int window,
                   F&& then) {
    Source source{text.data(), static_cast<size_t>(text.size()), 1.0};
    SequenceReader reader(c);
    reader.begin(0, source.size);
    std::vector<T> losses;
    // A window may predict nothing: a byte can close two patches, and the first is followed by no other byte.
    for (Batch batch; reader.position < reader.end || reader.waiting_count > 0;) {
        batch.clear();
        reader.read(source, c, window, false, batch);
        net.forward(weights.data(), batch, 1, window);
        losses.insert(losses.end(), net.losses().begin(), net.losses().end());
        then(batch);
    }
    return Array<T>(static_cast<py::ssize_t>(losses.size()), losses.data());
}

template <class T>
void bind_network(py::module_& m) {
    using A = const Array<T>&;
    auto sized = [](const Config& c, A weights) {
        Parameters parameters(c);
        if (static_cast<size_t>(weights.size()) != parameters.size())
            throw std::invalid_argument("wrong number of weights");
        return parameters;
    };
    m.def(
        "network",
        [sized](const std::string& isa, const py::dict& config, A weights, const Bytes& text, int window) {
            Config c = config_of(config);
            Parameters parameters = sized(c, weights);
            Network<T> net(table<T>(isa), c, parameters);
            auto gradient = zeros<T>({weights.size()});
            auto losses = losses_of(net, c, weights, text, window, [&](const Batch& batch) {
                net.backward(weights.data(), gradient.mutable_data(), batch,
                             T(1) / static_cast<T>(text.size()));
            });
            return py::make_tuple(losses, gradient);
        },
        py::arg("isa"), py::arg("config"), py::arg("weights").noconvert(), py::arg("text"), py::arg("window"),
        "Losses (nats) of every byte of a text, and the gradient of their mean.");
    m.def(
        "losses",
        [sized](const std::string& isa, const py::dict& config, A weights, const Bytes& text, int window) {
            Config c = config_of(config);
            Parameters parameters = sized(c, weights);
            Network<T> net(table<T>(isa), c, parameters);
            return losses_of(net, c, weights, text, window, [](const Batch&) {});
        },
        py::arg("isa"), py::arg("config"), py::arg("weights").noconvert(), py::arg("text"), py::arg("window"),
        "The losses alone: with a window of 1, the work of writing the text a patch at a time.");
}

template <class T>
void bind_all(py::module_& m) {
    bind_norm_and_embedding<T>(m);
    bind_conv_and_scan<T>(m);
    bind_gates_and_loss<T>(m);
    bind_candidates<T>(m);
    bind_muon<T>(m);
    bind_matmul<T>(m);
    bind_network<T>(m);
}

}  // namespace

void bind_ops(py::module_& m) {
    // float32 first: pybind takes the first overload whose arrays match without conversion.
    bind_all<float>(m);
    bind_all<double>(m);
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
    m.def(
        "layout",
        [](const py::dict& config) {
            py::list all;
            Parameters parameters(config_of(config));
            for (const Tensor& t : parameters.tensors())
                all.append(py::make_tuple(t.spec.name, t.spec.shape, t.offset));
            return all;
        },
        "(name, shape, offset) of every tensor in the flat array of weights.");
    m.def(
        "state_size",
        [](const py::dict& config) {
            Config c = config_of(config);
            Parameters parameters(c);
            Network<float> net(select_ops("portable"), c, parameters);
            size_t numbers = 0;
            for (const Carried<float>& part : net.carried())
                numbers += static_cast<size_t>(part.per_sequence);
            return numbers;
        },
        "How many numbers one text carries from window to window.");
    m.def("initial_weights", [](const py::dict& config, uint64_t seed) {
        Parameters parameters(config_of(config));
        Array<float> w(static_cast<py::ssize_t>(parameters.size()));
        parameters.initialize(w.mutable_data(), seed);
        return w;
    });
}

}  // namespace plm::train
