#include "weights.h"

#include <map>
#include <new>
#include <stdexcept>
#include <utility>

#include "model/tensors.h"

namespace plm::infer {
namespace {

// Copies tensors out of the views that a model file gives. Their sizes are those of model/tensors.h.
class Reader {
  public:
    Reader(const Config& c, const std::function<TensorView(const std::string&)>& tensor,
           const cpu_vnni_kernels* kernels)
        : tensor_(tensor), kernels_(kernels) {
        for (TensorSpec& spec : tensor_specs(c)) shapes_.emplace(spec.name, std::move(spec.shape));
    }

    AlignedVector<float> floats(const std::string& name) const {
        const TensorView view = checked(name, false);
        return {view.floats, view.floats + view.float_count};
    }

    // An empty one where the model has no such tensor.
    Table table(const std::string& name) const {
        if (!has(name)) return {};
        const TensorView view = checked(name, true);
        return {shapes_.at(name)[1],
                {view.quantized, view.quantized + view.quantized_count},
                {view.floats, view.floats + view.float_count}};
    }

    Matrix matrix(const std::string& name) const {
        if (!has(name)) return {};
        const TensorView view = checked(name, true);
        const std::vector<int>& shape = shapes_.at(name);
        return pack_matrix(kernels_, view, shape[0], shape[1]);
    }

    SwiGlu swiglu(const std::string& name) const {
        return {floats(name + ".norm"), matrix(name + ".up"), matrix(name + ".down")};
    }

    Layer layer(int index, int slot, const Config& c) const {
        const std::string prefix = "layers." + std::to_string(index);
        Layer layer{slot, nullptr, nullptr, swiglu(prefix + ".swiglu")};
        if (c.attends(index)) {
            layer.attention = mixer<Attention>(prefix + ".attention");
        } else {
            layer.recurrence = mixer<Recurrence>(prefix + ".recurrence");
        }
        return layer;
    }

  private:
    bool has(const std::string& name) const { return shapes_.count(name) > 0; }

    // With one scale a row where it is quantized, else floats alone.
    TensorView checked(const std::string& name, bool quantized) const {
        const std::vector<int>& shape = shapes_.at(name);
        size_t count = 1;
        for (const int n : shape) count *= size_t(n);
        const TensorView view = tensor_(name);
        if (view.quantized_count != (quantized ? count : 0) ||
            view.float_count != (quantized ? size_t(shape[0]) : count))
            throw std::invalid_argument("tensor " + name + " has another size than the config says");
        return view;
    }

    // [D,3] in the file, [3][D] here, so that the taps of one character lie side by side.
    AlignedVector<float> taps(const std::string& name) const {
        const float* values = checked(name, false).floats;
        const int width = shapes_.at(name)[0], count = shapes_.at(name)[1];
        AlignedVector<float> taps(size_t(width) * size_t(count));
        for (int i = 0; i < width; ++i)
            for (int k = 0; k < count; ++k) taps[size_t(k * width + i)] = values[i * count + k];
        return taps;
    }

    template <typename Mixer>
    std::unique_ptr<Mixer> mixer(const std::string& name) const {
        return std::unique_ptr<Mixer>(new Mixer{floats(name + ".norm"), taps(name + ".conv"),
                                                floats(name + ".bias"), matrix(name + ".in"),
                                                matrix(name + ".out")});
    }

    const std::function<TensorView(const std::string&)>& tensor_;
    const cpu_vnni_kernels* kernels_;
    std::map<std::string, std::vector<int>> shapes_;
};

}  // namespace

const cpu_vnni_kernels* select_kernels(const std::string& isa) {
    const char* error = nullptr;
    const cpu_vnni_kernels* kernels = cpu_vnni_select(isa.c_str(), &error);
    if (kernels == nullptr) throw std::invalid_argument(error);
    return kernels;
}

const VectorOps* select_vector_ops(const cpu_vnni_kernels* kernels) {
#if defined(__x86_64__)
    const std::string name = kernels->name;
    if (name == "avx512vnni" && cpu_vnni_supported("avx2")) return &vector_ops_avx512;
    if (name != "portable" && cpu_vnni_supported("avx2")) return &vector_ops_avx2;
#elif defined(__aarch64__)
    if (kernels->name != std::string("portable")) return &vector_ops_neon;
#else
    (void)kernels;
#endif
    return &vector_ops_portable;
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
    : config(c), kernels(select_kernels(isa)), vector_ops(select_vector_ops(kernels)) {
    const Reader read(c, tensor, kernels);
    lead_embedding = read.table("lead_embedding");
    char_embedding = read.table("char_embedding");
    bigram_embedding = read.table("bigram_embedding");
    trigram_embedding = read.table("trigram_embedding");
    piece_embedding = read.table("piece_embedding");
    input = read.matrix("input");
    int slots[2] = {};
    for (int i = 0; i < c.layers; ++i) layers.push_back(read.layer(i, slots[c.attends(i)]++, c));
    norm = read.floats("norm");
    head_base = read.matrix("head.base");
    head_skip = read.matrix("head.skip");
    prefix_lead = read.table("head.prefix_lead");
    prefix_pair = read.table("head.prefix_pair");
    prefix = read.table("head.prefix");
    for (int i = 0; i < c.head_layers; ++i)
        head_layers.push_back(read.swiglu("head.layers." + std::to_string(i)));
    head_norm = read.floats("head.norm");
    head_out = read.matrix("head.out");
}

}  // namespace plm::infer
