#include "weights.h"

#include <new>
#include <stdexcept>

namespace plm {
namespace {

constexpr int kBytes = 256, kLeads = 257, kPairs = 1025, kTaps = 3;

// Copies tensors out of the views that a model file gives.
struct Reader {
    const std::function<TensorView(const std::string&)>& tensor;
    const cpu_vnni_kernels* kernels;

    TensorView checked(const std::string& name, size_t quantized, size_t floats) const {
        const TensorView view = tensor(name);
        if (view.quantized_count != quantized || view.float_count != floats)
            throw std::invalid_argument("tensor " + name + " has another size than the config says");
        return view;
    }

    AlignedVector<float> floats(const std::string& name, int count) const {
        const float* values = checked(name, 0, size_t(count)).floats;
        return {values, values + count};
    }

    Table table(const std::string& name, int rows, int width) const {
        const TensorView view = checked(name, size_t(rows) * size_t(width), size_t(rows));
        return {width,
                {view.quantized, view.quantized + view.quantized_count},
                {view.floats, view.floats + view.float_count}};
    }

    Matrix matrix(const std::string& name, int N, int K) const {
        return pack_matrix(kernels, checked(name, size_t(N) * size_t(K), size_t(N)), N, K);
    }

    // [D,3] in the file, [3][D] here, so that the taps of one character lie side by side.
    AlignedVector<float> taps(const std::string& name, int width) const {
        const float* values = checked(name, 0, size_t(width) * kTaps).floats;
        AlignedVector<float> taps(size_t(width) * kTaps);
        for (int i = 0; i < width; ++i)
            for (int k = 0; k < kTaps; ++k) taps[size_t(k * width + i)] = values[i * kTaps + k];
        return taps;
    }

    SwiGlu swiglu(const std::string& name, int width, int hidden) const {
        return {floats(name + ".norm", width), matrix(name + ".up", 2 * hidden, width),
                matrix(name + ".down", width, hidden)};
    }

    template <typename Mixer>
    std::unique_ptr<Mixer> mixer(const std::string& name, int width, int bias, int rows, int inner) const {
        return std::unique_ptr<Mixer>(new Mixer{
            floats(name + ".norm", width), taps(name + ".conv", width), floats(name + ".bias", bias),
            matrix(name + ".in", rows, width), matrix(name + ".out", width, inner)});
    }

    Layer layer(int index, int slot, const Config& c) const {
        const std::string prefix = "layers." + std::to_string(index);
        Layer layer{slot, nullptr, nullptr, swiglu(prefix + ".swiglu", c.width, c.hidden)};
        const int d = c.head_size;
        if (c.attends(index)) {
            layer.attention = mixer<Attention>(prefix + ".attention", c.width, c.heads * c.window,
                                               (c.heads + 2) * d, c.heads * d);
        } else {
            layer.recurrence =
                mixer<Recurrence>(prefix + ".recurrence", c.width, c.state, 3 * c.state, c.state);
        }
        return layer;
    }
};

}  // namespace

const cpu_vnni_kernels* select_kernels(const std::string& isa) {
    const char* error = nullptr;
    const cpu_vnni_kernels* kernels = cpu_vnni_select(isa.c_str(), &error);
    if (kernels == nullptr) throw std::invalid_argument(error);
    return kernels;
}

const Elementwise* select_elementwise(const cpu_vnni_kernels* kernels) {
#if defined(__x86_64__)
    const std::string name = kernels->name;
    if (name == "avx512vnni" && cpu_vnni_supported("avx2")) return &elementwise_avx512;
    if (name != "portable" && cpu_vnni_supported("avx2")) return &elementwise_avx2;
#else
    (void)kernels;
#endif
    return &elementwise_portable;
}

Matrix pack_matrix(const cpu_vnni_kernels* kernels, const TensorView& view, int N, int K) {
    Matrix matrix;
    matrix.N = N;
    matrix.K = K;
    matrix.packed.reset(std::aligned_alloc(CPU_VNNI_ALIGNMENT, kernels->matmul_i8_packed_size(N, K)));
    if (!matrix.packed) throw std::bad_alloc();
    kernels->matmul_i8_pack(matrix.packed.get(), view.quantized, N, K);
    matrix.scale.assign(view.floats, view.floats + view.float_count);
    return matrix;
}

Weights::Weights(const Config& c, const std::function<TensorView(const std::string&)>& tensor,
                 const std::string& isa)
    : config(c), kernels(select_kernels(isa)), elementwise(select_elementwise(kernels)) {
    const Reader read{tensor, kernels};
    const int E = c.embedding_width();
    lead_embedding = read.table("lead_embedding", kBytes, E);
    char_embedding = read.table("char_embedding", c.characters, E);
    if (c.bigrams) bigram_embedding = read.table("bigram_embedding", c.bigrams, E);
    if (c.trigrams) trigram_embedding = read.table("trigram_embedding", c.trigrams, E);
    if (c.pieces) piece_embedding = read.table("piece_embedding", c.pieces, E);
    if (c.embedding) input = read.matrix("input", c.width, E);
    int slots[2] = {};
    for (int i = 0; i < c.layers; ++i) layers.push_back(read.layer(i, slots[c.attends(i)]++, c));
    norm = read.floats("norm", c.width);
    head_base = read.matrix("head.base", c.bases(), c.width);
    if (c.skip) head_skip = read.matrix("head.skip", c.bases(), E);
    if (c.patch != PatchRule::kByte) {
        prefix_lead = read.table("head.prefix_lead", kLeads, c.head_width);
        prefix_pair = read.table("head.prefix_pair", kPairs, c.head_width);
    }
    if (c.prefixes) prefix = read.table("head.prefix", c.prefixes, c.head_width);
    for (int i = 0; i < c.head_layers; ++i)
        head_layers.push_back(read.swiglu("head.layers." + std::to_string(i), c.head_width, c.head_hidden));
    head_norm = read.floats("head.norm", c.head_width);
    head_out = read.matrix("head.out", kBytes, c.head_width);
}

}  // namespace plm
