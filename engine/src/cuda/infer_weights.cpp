#include "infer_weights.h"

#include <stdexcept>
#include <vector>

namespace plm::infer {
namespace {

constexpr int kBytes = 256, kLeads = 257, kPairs = 1025, kTaps = 3;

struct Reader {
    plm_cuda::Stream& stream;
    const std::function<TensorView(const std::string&)>& tensor;

    template <class T>
    const T* place(const T* host, size_t n) const {
        if (n == 0) return nullptr;
        T* data = static_cast<T*>(stream.allocate(n * sizeof(T)));
        stream.write(data, host, n * sizeof(T));
        return data;
    }

    TensorView checked(const std::string& name, size_t quantized, size_t floats) const {
        const TensorView view = tensor(name);
        if (view.quantized_count != quantized || view.float_count != floats)
            throw std::invalid_argument("tensor " + name + " has another size than the config says");
        return view;
    }

    const float* floats(const std::string& name, int count) const {
        return place(checked(name, 0, size_t(count)).floats, size_t(count));
    }

    Int8Rows rows(const std::string& name, int N, int K) const {
        const TensorView view = checked(name, size_t(N) * size_t(K), size_t(N));
        return {place(view.quantized, view.quantized_count), place(view.floats, view.float_count)};
    }

    // [D,3] in the file, [3][D] on the device
    const float* taps(const std::string& name, int width) const {
        const float* values = checked(name, 0, size_t(width) * kTaps).floats;
        std::vector<float> taps(size_t(width) * kTaps);
        for (int i = 0; i < width; ++i)
            for (int k = 0; k < kTaps; ++k) taps[size_t(k * width + i)] = values[i * kTaps + k];
        return place(taps.data(), taps.size());
    }

    InferSwiglu swiglu(const std::string& name, int width, int hidden) const {
        return {floats(name + ".norm", width), rows(name + ".up", 2 * hidden, width),
                rows(name + ".down", width, hidden)};
    }

    InferLayer layer(const Config& c, int index) const {
        const std::string layer = "layers." + std::to_string(index);
        const bool attends = c.attends(index);
        const std::string name = layer + (attends ? ".attention" : ".recurrence");
        const int joined = attends ? (c.heads + 2) * c.head_size : 3 * c.state;
        const int inner = attends ? c.heads * c.head_size : c.state;
        return {floats(name + ".norm", c.width),
                taps(name + ".conv", c.width),
                floats(name + ".bias", attends ? c.heads * c.window : c.state),
                rows(name + ".in", joined, c.width),
                rows(name + ".out", c.width, inner),
                swiglu(layer + ".swiglu", c.width, c.hidden),
                attends};
    }
};

}  // namespace

DeviceWeights::DeviceWeights(plm_cuda::Stream& stream, const Config& c,
                             const std::function<TensorView(const std::string&)>& tensor)
    : config(c) {
    const Reader read{stream, tensor};
    const int E = c.embedding_width(), H = c.head_width;
    model.width = c.width, model.layers = c.layers, model.state = c.state, model.hidden = c.hidden;
    model.head_width = H, model.head_hidden = c.head_hidden, model.head_layers = c.head_layers;
    model.embedding = E, model.views = c.views, model.heads = c.heads, model.head_size = c.head_size;
    model.window = c.window, model.attention_layers = c.attention_layers(), model.prefixes = c.prefixes;
    model.tables[0] = read.rows("lead_embedding", kBytes, E);
    model.tables[1] = read.rows("char_embedding", c.characters, E);
    if (c.bigrams) model.tables[2] = read.rows("bigram_embedding", c.bigrams, E);
    if (c.trigrams) model.tables[3] = read.rows("trigram_embedding", c.trigrams, E);
    if (c.pieces) model.tables[4] = read.rows("piece_embedding", c.pieces, E);
    if (c.embedding) model.input = read.rows("input", c.width, E);
    std::vector<InferLayer> layers;
    for (int i = 0; i < c.layers; ++i) layers.push_back(read.layer(c, i));
    model.trunk = read.place(layers.data(), layers.size());
    model.norm = read.floats("norm", c.width);
    model.base = read.rows("head.base", c.bases(), c.width);
    if (c.skip) model.skip = read.rows("head.skip", c.bases(), E);
    if (c.patch != PatchRule::kByte) {
        model.prefix_lead = read.rows("head.prefix_lead", kLeads, H);
        model.prefix_pair = read.rows("head.prefix_pair", kPairs, H);
    }
    if (c.prefixes) model.prefix = read.rows("head.prefix", c.prefixes, H);
    std::vector<InferSwiglu> head;
    for (int i = 0; i < c.head_layers; ++i)
        head.push_back(read.swiglu("head.layers." + std::to_string(i), H, c.head_hidden));
    model.head = read.place(head.data(), head.size());
    model.head_norm = read.floats("head.norm", H);
    model.out = read.rows("head.out", kBytes, H);
}

}  // namespace plm::infer
