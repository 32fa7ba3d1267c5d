#include "step.h"

#include <algorithm>
#include <cstring>

namespace plm {
namespace {

constexpr int kBytes = 256;

int widest_input(const Config& c) {
    return std::max({c.width, c.state, c.hidden, c.head_width, c.head_hidden});
}

int widest_output(const Config& c) {
    return std::max({3 * c.state, 2 * c.hidden, 2 * c.head_hidden, kBytes, c.width});
}

// One batch on its way through the layers.
struct Pass {
    const Weights& weights;
    const Elementwise& ops;
    Scratch& scratch;
    const int M;

    int8_t* quantized(int m, int width) const { return scratch.quantized.data() + m * width; }
    float* x(int m, int width) const { return scratch.x.data() + m * width; }

    // sums[M,N] = quantized[M,K] @ weight[N,K]^T for the rows from `first` on.
    void matmul(const Matrix& matrix, int first = 0) const {
        weights.kernels->matmul_i8(scratch.sums.data() + first * matrix.N, quantized(first, matrix.K),
                                   matrix.packed.get(), M - first, matrix.N, matrix.K);
    }

    Sums sums(const Matrix& matrix, int m) const {
        return {scratch.sums.data() + m * matrix.N, matrix.scale.data(), scratch.scale[size_t(m)]};
    }

    void residual(const Matrix& matrix) const {
        matmul(matrix);
        for (int m = 0; m < M; ++m) {
            const Sums s = sums(matrix, m);
            ops.residual(x(m, matrix.N), &s, matrix.N);
        }
    }

    void normalise(const std::vector<float>& gain, int width, int first = 0) const {
        for (int m = first; m < M; ++m)
            scratch.scale[size_t(m)] =
                ops.norm_quantize(quantized(m, width), scratch.row.data(), x(m, width), gain.data(), width);
    }

    void swiglu(const SwiGlu& layer, int width, int hidden) const {
        normalise(layer.norm, width);
        matmul(layer.up);
        for (int m = 0; m < M; ++m) {
            const Sums s = sums(layer.up, m);
            scratch.scale[size_t(m)] =
                ops.swiglu_quantize(quantized(m, hidden), scratch.row.data(), &s, hidden);
        }
        residual(layer.down);
    }

    void recurrence(const Recurrence& layer, int index, TrunkState* const states[]) const {
        const int width = weights.config.width, state = weights.config.state;
        for (int m = 0; m < M; ++m) {
            if (m + 1 < M) states[m + 1]->prefetch(index);
            scratch.scale[size_t(m)] =
                ops.norm_conv_quantize(quantized(m, width), scratch.row.data(), states[m]->history(index),
                                       x(m, width), layer.norm.data(), layer.taps.data(), width);
        }
        matmul(layer.in);
        for (int m = 0; m < M; ++m) {
            const Sums s = sums(layer.in, m);
            scratch.scale[size_t(m)] =
                ops.recurrence_quantize(quantized(m, state), scratch.row.data(), states[m]->recurrent(index),
                                        &s, layer.bias.data(), state);
        }
        residual(layer.out);
    }
};

}  // namespace

Scratch::Scratch(const Config& c)
    : x(size_t(kMaxRows) * size_t(std::max(c.width, c.head_width))),
      bases(size_t(kMaxRows) * size_t(c.head_width)),
      logits(size_t(kMaxRows) * kBytes),
      sums(size_t(kMaxRows) * size_t(widest_output(c))),
      quantized(size_t(kMaxRows) * size_t(widest_input(c))),
      scale(kMaxRows),
      row(size_t(widest_input(c))),
      start(size_t(c.head_width)) {}

void step(const Weights& weights, Scratch& scratch, TrunkState* const states[], const Character characters[],
          int M, int first) {
    const Config& c = weights.config;
    const Pass pass{weights, *weights.elementwise, scratch, M};
    const Table &leads = weights.lead_embedding, &chars = weights.char_embedding;
    for (int m = 0; m < M; ++m) {
        const int lead = characters[m].lead(), id = characters[m].id();
        pass.ops.add_rows(pass.x(m, c.width), nullptr, leads.row(lead), leads.scale[size_t(lead)],
                          chars.row(id), chars.scale[size_t(id)], c.width);
    }
    for (int i = 0; i < c.layers; ++i) {
        pass.recurrence(weights.layers[size_t(i)].recurrence, i, states);
        pass.swiglu(weights.layers[size_t(i)].swiglu, c.width, c.hidden);
    }
    pass.normalise(weights.norm, c.width, first);
    pass.matmul(weights.head_base, first);
    for (int m = first; m < M; ++m) {
        float* base = scratch.bases.data() + m * c.head_width;
        const Sums s = pass.sums(weights.head_base, m);
        pass.ops.dequantize(base, &s, c.head_width);
        std::memcpy(states[m]->base(), base, size_t(c.head_width) * sizeof *base);
    }
}

void head(const Weights& weights, Scratch& scratch, const Prefix prefixes[], int M) {
    const Config& c = weights.config;
    const Pass pass{weights, *weights.elementwise, scratch, M};
    const Table &leads = weights.prefix_lead, &pairs = weights.prefix_pair;
    for (int m = 0; m < M; ++m) {
        const Prefix& p = prefixes[m];
        pass.ops.add_rows(pass.x(m, c.head_width), p.base, leads.row(p.lead), leads.scale[size_t(p.lead)],
                          pairs.row(p.pair), pairs.scale[size_t(p.pair)], c.head_width);
    }
    for (const SwiGlu& layer : weights.head_layers) pass.swiglu(layer, c.head_width, c.head_hidden);
    pass.normalise(weights.head_norm, c.head_width);
    pass.matmul(weights.head_out);
    for (int m = 0; m < M; ++m) {
        const Sums s = pass.sums(weights.head_out, m);
        pass.ops.dequantize(scratch.logits.data() + m * kBytes, &s, kBytes);
    }
}

}  // namespace plm
