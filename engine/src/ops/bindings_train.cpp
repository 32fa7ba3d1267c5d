// The operators of training as Python functions over numpy arrays: f(isa, ...) with float32 for an
// instruction set's table, float64 for the reference table ("float64"). Outputs are returned; gradients that
// an operator adds to start at zero. Then the losses and gradients of whole networks.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>

#include "bindings.h"
#include "model/config_of.h"
#include "read/example_of.h"
#include "read/network.h"
#include "train/network.h"

namespace py = pybind11;

namespace plm::train {
namespace {

template <class T>
using Array = py::array_t<T, py::array::c_style>;
using IntArray = py::array_t<int, py::array::c_style | py::array::forcecast>;
using ByteArray = py::array_t<uint8_t, py::array::c_style | py::array::forcecast>;
using Shape = std::vector<py::ssize_t>;

template <class T>
const Ops<T>& table(const std::string& isa);
template <>
const Ops<float>& table(const std::string& isa) {
    return select_ops(isa.c_str());
}
template <>
const Ops<double>& table(const std::string& isa) {
    if (isa != ops_float64.name) throw std::invalid_argument("float64 arrays go to the table float64 alone");
    return ops_float64;
}

template <class T>
[[gnu::noinline]] Array<T> zeros(const Shape& shape) {
    Array<T> a(shape);
    std::fill_n(a.mutable_data(), a.size(), T(0));
    return a;
}

template <class T>
int dim(const Array<T>& a, int axis) {
    return static_cast<int>(a.shape(axis));
}

// What Python passed behind the instruction set's name. All operators are bound with one signature: pybind11
// compiles every other one anew, which took this file 26 s and 650 MB.
template <class T>
class Call {
  public:
    Call(const Ops<T>& ops, const py::args& given) : ops(ops), given_(given) {}

    const Ops<T>& ops;
    [[gnu::noinline]] Array<T> array(size_t i) const { return at(i).template cast<Array<T>>(); }
    [[gnu::noinline]] IntArray ints(size_t i) const { return at(i).template cast<IntArray>(); }
    [[gnu::noinline]] ByteArray bytes(size_t i) const { return at(i).template cast<ByteArray>(); }
    [[gnu::noinline]] T number(size_t i) const { return at(i).template cast<T>(); }
    [[gnu::noinline]] int integer(size_t i) const { return at(i).template cast<int>(); }

  private:
    py::object at(size_t i) const {
        if (i >= given_.size()) throw py::type_error("this operator takes more arguments");
        return given_[i];
    }

    const py::args& given_;
};

template <class T>
using Operator = py::object (*)(const Call<T>&);

// Each operator twice: for a table of float32, and for the reference.
void define(py::module_& m, const char* name, Operator<float> single, Operator<double> reference) {
    m.def(name, [single, reference](const std::string& isa, const py::args& given) {
        if (isa == ops_float64.name) return reference({ops_float64, given});
        return single({select_ops(isa.c_str()), given});
    });
}

template <class T>
py::object embedding_forward(const Call<T>& call) {
    const auto t = call.array(0);
    const auto ids = call.ints(1);
    auto out = zeros<T>({ids.size(), t.shape(1)});
    call.ops.embedding_forward(out.mutable_data(), t.data(), ids.data(), dim(out, 0), dim(t, 1), false);
    return out;
}

template <class T>
py::object embedding_backward(const Call<T>& call) {
    const auto dout = call.array(0);
    const auto ids = call.ints(1);
    const auto rows = call.integer(2);
    auto d = zeros<T>({rows, dout.shape(1)});
    call.ops.embedding_backward(d.mutable_data(), dout.data(), ids.data(), dim(dout, 0), dim(dout, 1));
    return d;
}

template <class T>
py::object rmsnorm_forward(const Call<T>& call) {
    const auto inp = call.array(0), weight = call.array(1);
    auto out = zeros<T>({inp.shape(0), inp.shape(1)}), rinv = zeros<T>({inp.shape(0)});
    call.ops.rmsnorm_forward(out.mutable_data(), rinv.mutable_data(), inp.data(), weight.data(), dim(inp, 0),
                             dim(inp, 1));
    return py::make_tuple(out, rinv);
}

template <class T>
py::object rmsnorm_backward(const Call<T>& call) {
    const auto dout = call.array(0), inp = call.array(1), rinv = call.array(2), weight = call.array(3);
    auto dinp = zeros<T>({inp.shape(0), inp.shape(1)}), dweight = zeros<T>({inp.shape(1)});
    call.ops.rmsnorm_backward(dinp.mutable_data(), dweight.mutable_data(), dout.data(), inp.data(),
                              rinv.data(), weight.data(), dim(inp, 0), dim(inp, 1));
    return py::make_tuple(dinp, dweight);
}

template <class T>
py::object conv_forward(const Call<T>& call) {
    const auto inp = call.array(0), history = call.array(1), weight = call.array(2);
    auto out = zeros<T>({inp.shape(0), inp.shape(1), inp.shape(2)});
    call.ops.conv_forward(out.mutable_data(), inp.data(), history.data(), weight.data(), dim(inp, 0),
                          dim(inp, 1), dim(inp, 2));
    return out;
}

template <class T>
py::object conv_backward(const Call<T>& call) {
    const auto dout = call.array(0), inp = call.array(1), history = call.array(2), weight = call.array(3);
    auto dinp = zeros<T>({inp.shape(0), inp.shape(1), inp.shape(2)}), dweight = zeros<T>({inp.shape(2), 3});
    call.ops.conv_backward(dinp.mutable_data(), dweight.mutable_data(), dout.data(), inp.data(),
                           history.data(), weight.data(), dim(inp, 0), dim(inp, 1), dim(inp, 2));
    return py::make_tuple(dinp, dweight);
}

template <class T>
py::object scan_forward(const Call<T>& call) {
    const auto fvo = call.array(0), bias = call.array(1), s0 = call.array(2);
    Shape shape{fvo.shape(0), fvo.shape(1), bias.shape(0)};
    auto y = zeros<T>(shape), a = zeros<T>(shape), s = zeros<T>(shape);
    call.ops.scan_forward(y.mutable_data(), a.mutable_data(), s.mutable_data(), fvo.data(), bias.data(),
                          s0.data(), dim(fvo, 0), dim(fvo, 1), dim(bias, 0));
    return py::make_tuple(y, a, s);
}

template <class T>
py::object scan_backward(const Call<T>& call) {
    const auto dy = call.array(0), fvo = call.array(1), a = call.array(2), s = call.array(3),
               s0 = call.array(4);
    auto dfvo = zeros<T>({fvo.shape(0), fvo.shape(1), fvo.shape(2)}), dbias = zeros<T>({s0.shape(1)});
    call.ops.scan_backward(dfvo.mutable_data(), dbias.mutable_data(), dy.data(), fvo.data(), a.data(),
                           s.data(), s0.data(), dim(fvo, 0), dim(fvo, 1), dim(s0, 1));
    return py::make_tuple(dfvo, dbias);
}

template <class T>
py::object groupnorm_forward(const Call<T>& call) {
    const auto inp = call.array(0);
    auto out = zeros<T>({inp.shape(0), inp.shape(1)}), rinv = zeros<T>({inp.shape(0)});
    call.ops.groupnorm_forward(out.mutable_data(), rinv.mutable_data(), inp.data(), dim(inp, 0), dim(inp, 1));
    return py::make_tuple(out, rinv);
}

template <class T>
py::object groupnorm_backward(const Call<T>& call) {
    const auto dout = call.array(0), out = call.array(1), rinv = call.array(2);
    auto dinp = zeros<T>({out.shape(0), out.shape(1)});
    call.ops.groupnorm_backward(dinp.mutable_data(), dout.data(), out.data(), rinv.data(), dim(out, 0),
                                dim(out, 1));
    return dinp;
}

template <class T>
py::object bilinear_forward(const Call<T>& call) {
    const auto inp = call.array(0);
    auto out = zeros<T>({inp.shape(0), inp.shape(1) / 2});
    call.ops.bilinear_forward(out.mutable_data(), inp.data(), dim(out, 0), dim(out, 1));
    return out;
}

template <class T>
py::object bilinear_backward(const Call<T>& call) {
    const auto dout = call.array(0), inp = call.array(1);
    auto dinp = zeros<T>({inp.shape(0), inp.shape(1)});
    call.ops.bilinear_backward(dinp.mutable_data(), dout.data(), inp.data(), dim(dout, 0), dim(dout, 1));
    return dinp;
}

template <class T>
py::object swiglu_forward(const Call<T>& call) {
    const auto inp = call.array(0);
    auto out = zeros<T>({inp.shape(0), inp.shape(1) / 2});
    call.ops.swiglu_forward(out.mutable_data(), inp.data(), dim(out, 0), dim(out, 1));
    return out;
}

template <class T>
py::object swiglu_backward(const Call<T>& call) {
    const auto dout = call.array(0), inp = call.array(1);
    auto dinp = zeros<T>({inp.shape(0), inp.shape(1)});
    call.ops.swiglu_backward(dinp.mutable_data(), dout.data(), inp.data(), dim(dout, 0), dim(dout, 1));
    return dinp;
}

template <class T>
py::object cross_entropy_forward(const Call<T>& call) {
    const auto logits = call.array(0);
    const auto targets = call.bytes(1);
    auto losses = zeros<T>({logits.shape(0)});
    call.ops.cross_entropy_forward(losses.mutable_data(), logits.data(), targets.data(), dim(logits, 0),
                                   dim(logits, 1));
    return losses;
}

template <class T>
py::object cross_entropy_backward(const Call<T>& call) {
    const auto logits = call.array(0);
    const auto targets = call.bytes(1);
    const auto scale = call.number(2);
    auto d = zeros<T>({logits.shape(0), logits.shape(1)});
    call.ops.cross_entropy_backward(d.mutable_data(), logits.data(), targets.data(), scale, dim(logits, 0),
                                    dim(logits, 1));
    return d;
}

template <class T>
py::object adamw_update(const Call<T>& call) {
    const auto weight = call.array(0), m1 = call.array(1), m2 = call.array(2), grad = call.array(3);
    const auto rate = call.number(4), beta1 = call.number(5), beta2 = call.number(6),
               epsilon = call.number(7), decay = call.number(8), clip = call.number(9), c1 = call.number(10),
               c2 = call.number(11);
    Array<T> w(weight.size(), weight.data()), a(m1.size(), m1.data()), b(m2.size(), m2.data());
    call.ops.adamw_update(w.mutable_data(), a.mutable_data(), b.mutable_data(), grad.data(), w.size(), rate,
                          beta1, beta2, epsilon, decay, clip, c1, c2);
    return py::make_tuple(w, a, b);
}

template <class T>
py::object muon_update(const Call<T>& call) {
    const auto weight = call.array(0), m1 = call.array(1), grad = call.array(2);
    const auto rate = call.number(3), momentum = call.number(4), decay = call.number(5),
               clip = call.number(6);
    int rows = dim(weight, 0), columns = dim(weight, 1);
    auto w = zeros<T>({rows, columns}), a = zeros<T>({rows, columns});
    std::copy_n(weight.data(), weight.size(), w.mutable_data());
    std::copy_n(m1.data(), m1.size(), a.mutable_data());
    const MuonMatrix<T> x{w.mutable_data(), a.mutable_data(), grad.data(), rows, columns, decay};
    std::vector<T> space(x.space());
    call.ops.muon_update(call.ops, &x, 1, space.data(), rate, momentum, clip);
    return py::make_tuple(w, a);
}

template <class T>
py::object matmul_forward(const Call<T>& call) {
    const auto inp = call.array(0), weight = call.array(1), onto = call.array(2);
    int M = dim(inp, 0), K = dim(inp, 1), N = dim(weight, 0);
    bool accumulate = onto.size() > 0;
    auto out = zeros<T>({M, N});
    if (accumulate) std::copy_n(onto.data(), onto.size(), out.mutable_data());
    call.ops.matmul_forward(out.mutable_data(), inp.data(), weight.data(), M, N, K, accumulate);
    return out;
}

template <class T>
py::object matmul_backward(const Call<T>& call) {
    const auto dout = call.array(0), inp = call.array(1), weight = call.array(2);
    int M = dim(inp, 0), K = dim(inp, 1), N = dim(weight, 0);
    auto dinp = zeros<T>({M, K}), dweight = zeros<T>({N, K});
    call.ops.matmul_backward_input(dinp.mutable_data(), dout.data(), weight.data(), M, N, K, false);
    call.ops.matmul_backward_weight(dweight.mutable_data(), dout.data(), inp.data(), M, N, K);
    return py::make_tuple(dinp, dweight);
}

void define_operators(py::module_& m) {
#define DEFINE(name) define(m, #name, name<float>, name<double>)
    DEFINE(embedding_forward);
    DEFINE(embedding_backward);
    DEFINE(rmsnorm_forward);
    DEFINE(rmsnorm_backward);
    DEFINE(conv_forward);
    DEFINE(conv_backward);
    DEFINE(scan_forward);
    DEFINE(scan_backward);
    DEFINE(groupnorm_forward);
    DEFINE(groupnorm_backward);
    DEFINE(bilinear_forward);
    DEFINE(bilinear_backward);
    DEFINE(swiglu_forward);
    DEFINE(swiglu_backward);
    DEFINE(cross_entropy_forward);
    DEFINE(cross_entropy_backward);
    DEFINE(adamw_update);
    DEFINE(muon_update);
    DEFINE(matmul_forward);
    DEFINE(matmul_backward);
#undef DEFINE
}

// Losses (nats) of every byte of a text that begins as a document, read in windows; after each window
// `then(batch)`.
template <class T, class F>
Array<T> losses_of(Network<T>& net, const Config& c, const Array<T>& weights, const ByteArray& text,
                   int window, F&& then) {
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
        [sized](const std::string& isa, const py::dict& config, A weights, const ByteArray& text,
                int window) {
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
        [sized](const std::string& isa, const py::dict& config, A weights, const ByteArray& text,
                int window) {
            Config c = config_of(config);
            Parameters parameters = sized(c, weights);
            Network<T> net(table<T>(isa), c, parameters);
            return losses_of(net, c, weights, text, window, [](const Batch&) {});
        },
        py::arg("isa"), py::arg("config"), py::arg("weights").noconvert(), py::arg("text"), py::arg("window"),
        "The losses alone: with a window of 1, the work of writing the text a patch at a time.");
}

void bind_networks(py::module_& m) {
    // float32 first: pybind takes the first overload whose arrays match without conversion.
    bind_network<float>(m);
    bind_network<double>(m);
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

}  // namespace
}  // namespace plm::train

namespace plm::read {
namespace {

void bind_reader_gradient(py::module_& m) {
    m.def(
        "reader_gradient",
        [](const py::dict& config, const py::array_t<double>& weights, Characters question,
           const Passages& passages, const Spans& answers) {
            const ReaderConfig c = reader_config_of(config);
            const Parameters parameters(reader_tensors(c));
            const Example e = example_of(std::move(question), passages, answers);
            Network<double> network(train::ops_float64, c, parameters);
            const Batch batch = batch_of(c, {&e});
            py::array_t<double> gradient(static_cast<py::ssize_t>(parameters.size()));
            std::fill_n(gradient.mutable_data(), parameters.size(), 0.0);
            const auto spans = network.forward(weights.data(), batch);
            const double loss = network.backward(weights.data(), gradient.mutable_data(), batch, spans, 1.0);
            return py::make_tuple(loss, gradient);
        },
        "In float64: the loss of one example and its gradient, laid out as the weights.");
}

}  // namespace
}  // namespace plm::read

void bind_training(py::module_& m) {
    plm::train::define_operators(m);
    plm::train::bind_networks(m);
    plm::read::bind_reader_gradient(m);
}
