#include <cmath>
#include <stdexcept>

#include "wygpt.h"
#include "wygpt_hash.h"

namespace plm::infer {
namespace {

const WygptOps* select_ops(const VectorOps* vector_ops) {
#if defined(__x86_64__)
    if (vector_ops == &vector_ops_avx512) return &wygpt_ops_avx512;
    if (vector_ops == &vector_ops_avx2) return &wygpt_ops_avx2;
#elif defined(__aarch64__)
    if (vector_ops == &vector_ops_neon) return &wygpt_ops_neon;
#else
    (void)vector_ops;
#endif
    return &wygpt_ops_portable;
}

struct Reader {
    const std::function<TensorView(const std::string&)>& tensor;
    const cpu_vnni_kernels* kernels;

    static void check(bool fits, const std::string& name) {
        if (!fits) throw std::invalid_argument("tensor " + name + " has another size than the config says");
    }

    WygptLinear linear(const std::string& name, int N, int K) const {
        const TensorView view = tensor(name);
        const size_t size = size_t(N) * size_t(K);
        const float scale = 1.0f / std::sqrt(float(K));
        WygptLinear linear;
        linear.N = N;
        linear.K = K;
        if (view.quantized != nullptr) {
            check(view.quantized_count == size && view.float_count == size_t(N), name);
            linear.quantized = pack_matrix(kernels, view, N, K);
            for (float& x : linear.quantized.scale) x *= scale;
            return linear;
        }
        check(view.float_count == size, name);
        linear.panels.resize(size_t((N + kPanel - 1) / kPanel) * size_t(K) * kPanel);
        for (int n = 0; n < N; ++n)
            for (int k = 0; k < K; ++k)
                linear.panels[(size_t(n / kPanel) * size_t(K) + size_t(k)) * kPanel + size_t(n % kPanel)] =
                    view.floats[size_t(n) * size_t(K) + size_t(k)] * scale;
        return linear;
    }

    std::vector<float> bias(const std::string& name, int heads, int context) const {
        const TensorView view = tensor(name);
        check(view.quantized == nullptr && view.float_count == size_t(heads) * size_t(context), name);
        std::vector<float> bias(2 * view.float_count);
        for (size_t j = 0; j < size_t(heads); ++j)
            for (size_t i = 0; i < 2 * size_t(context); ++i)
                bias[2 * j * size_t(context) + i] =
                    view.floats[(j + 1) * size_t(context) - 1 - i % size_t(context)];
        return bias;
    }

    WygptLayer layer(int index, const WygptConfig& c) const {
        const std::string p = "layers." + std::to_string(index) + ".";
        const int R = c.width;
        return {linear(p + "first.in", 2 * R, R),
                linear(p + "first.out", R, R),
                linear(p + "attention.in", 4 * R, R),
                linear(p + "attention.out", R, R),
                linear(p + "second.in", 2 * R, R),
                linear(p + "second.out", R, R),
                bias(p + "attention.bias", c.heads, c.context)};
    }
};

}  // namespace

WygptWeights::WygptWeights(const WygptConfig& c, const std::function<TensorView(const std::string&)>& tensor,
                           const std::string& isa)
    : config(c),
      kernels(select_kernels(isa)),
      vector_ops(select_vector_ops(kernels)),
      ops(select_ops(vector_ops)),
      embedding(size_t(kBytes) * size_t(c.width)) {
    const Reader read{tensor, kernels};
    for (size_t i = 0; i < embedding.size(); ++i)
        embedding[i] = wygpt_sign(i / size_t(c.width), i % size_t(c.width));
    for (int i = 0; i < c.layers; ++i) layers.push_back(read.layer(i, c));
    out = read.linear("out", kBytes, c.width);
}

}  // namespace plm::infer
