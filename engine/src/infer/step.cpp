#include "step.h"

#include <algorithm>
#include <cstring>

namespace plm::infer {
namespace {

constexpr int kBytes = 256;

int widest_input(const Config& c) {
    return std::max({c.width, c.state, c.hidden, c.head_width, c.head_hidden, c.embedding_width(),
                     c.heads * c.head_size});
}

int widest_output(const Config& c) {
    return std::max({3 * c.state, 2 * c.hidden, 2 * c.head_hidden, kBytes, c.width, c.bases(),
                     (c.heads + 2) * c.head_size});
}

int attention_scratch(const Config& c) {
    return 2 * (c.heads + 1) * c.head_size + 4 * c.window;
}

// One batch on its way through the layers.
struct Pass {
    const Weights& weights;
    const VectorOps& ops;
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

    void residual(const Matrix& matrix, int first = 0) const {
        matmul(matrix, first);
        for (int m = first; m < M; ++m) {
            const Sums s = sums(matrix, m);
            ops.residual(x(m, matrix.N), &s, matrix.N);
        }
    }

    void normalise(const AlignedVector<float>& gain, int width, int first = 0) const {
        for (int m = first; m < M; ++m)
            scratch.scale[size_t(m)] =
                ops.norm_quantize(quantized(m, width), scratch.row.data(), x(m, width), gain.data(), width);
    }

    void swiglu(const SwiGlu& layer, int width, int hidden, int first = 0) const {
        normalise(layer.norm, width, first);
        matmul(layer.up, first);
        for (int m = first; m < M; ++m) {
            const Sums s = sums(layer.up, m);
            scratch.scale[size_t(m)] =
                ops.swiglu_quantize(quantized(m, hidden), scratch.row.data(), &s, hidden);
        }
        residual(layer.down, first);
    }

    // norm -> convolution -> in, the same for both mixers
    template <typename Mixer>
    void read_mixer(const Mixer& mixer, int index, TrunkState* const states[]) const {
        const int width = weights.config.width;
        for (int m = 0; m < M; ++m) {
            if (m + 1 < M) states[m + 1]->prefetch_history(index);
            scratch.scale[size_t(m)] =
                ops.norm_conv_quantize(quantized(m, width), scratch.row.data(), states[m]->history(index),
                                       x(m, width), mixer.norm.data(), mixer.taps.data(), width);
        }
        matmul(mixer.in);
    }

    // All rows move their states on; what comes out of the layer is computed from row `first` on.
    void recurrence(const Recurrence& layer, int index, int slot, TrunkState* const states[],
                    int first) const {
        const int state = weights.config.state;
        read_mixer(layer, index, states);
        for (int m = 0; m < M; ++m) {
            if (m + 1 < M) states[m + 1]->prefetch_recurrent(slot);
            const Sums s = sums(layer.in, m);
            scratch.scale[size_t(m)] =
                ops.recurrence_quantize(quantized(m, state), scratch.row.data(), states[m]->recurrent(slot),
                                        &s, layer.bias.data(), state);
        }
        residual(layer.out, first);
    }

    // Rows of one text follow each other in time; rings move on together, after the last layer, so a row's
    // place is that of its state plus the rows of the same state before it.
    void attention(const Attention& layer, int index, int slot, TrunkState* const states[], int first) const {
        const Config& c = weights.config;
        read_mixer(layer, index, states);
        for (int m = 0; m < M; ++m) {
            if (m + 1 < M && states[m + 1] != states[m]) states[m + 1]->prefetch_ring(slot);
            const Sums s = sums(layer.in, m);
            Ring ring = states[m]->ring(slot);
            ring.position = (ring.position + scratch.ahead[m]) % ring.size;
            scratch.scale[size_t(m)] =
                ops.attention_quantize(quantized(m, c.heads * c.head_size), scratch.row.data(), &ring, &s,
                                       layer.bias.data(), c.heads, c.head_size);
        }
        residual(layer.out, first);
    }

    // The sum of the patch's rows in all tables, into scratch.embedded.
    void embed(const Patch& patch, int m) const {
        const Config& c = weights.config;
        const int E = c.embedding_width(), lead = patch.bytes[0], id = patch.row(c.characters);
        const Table &leads = weights.lead_embedding, &chars = weights.char_embedding;
        float* e = scratch.embedded.data() + m * E;
        ops.add_rows(e, nullptr, leads.row(lead), leads.scale[size_t(lead)], chars.row(id),
                     chars.scale[size_t(id)], E);
        if (c.bigrams) add(e, weights.bigram_embedding, int(patch.pair % uint32_t(c.bigrams)));
        if (c.trigrams) add(e, weights.trigram_embedding, int(patch.triple % uint32_t(c.trigrams)));
        if (!c.pieces) return;
        for (int i = 0; i < patch.pieces(); ++i)
            add(e, weights.piece_embedding, patch.piece_row(i, c.pieces));
    }

    void add(float* to, const Table& table, int row) const {
        ops.add_row(to, table.row(row), table.scale[size_t(row)], table.width);
    }

    // base = head.base @ top (+ head.skip @ embedded); rows of `quantized` and their scales are given.
    void base(const Matrix& matrix, int first, bool more) const {
        matmul(matrix, first);
        for (int m = first; m < M; ++m) {
            const Sums s = sums(matrix, m);
            (more ? ops.residual : ops.dequantize)(scratch.bases.data() + m * matrix.N, &s, matrix.N);
        }
    }

    // Keeps the rows that a base is made of; embedded ones are quantised here.
    void bases(TrunkState* const states[], int first) const {
        const Config& c = weights.config;
        const int E = c.embedding_width();
        normalise(weights.norm, c.width, first);
        for (int m = first; m < M; ++m) {
            std::memcpy(states[m]->top(), quantized(m, c.width), size_t(c.width));
            states[m]->top_scale = scratch.scale[size_t(m)];
        }
        base(weights.head_base, first, false);
        for (int m = first; c.skip && m < M; ++m) {
            scratch.scale[size_t(m)] = states[m]->embedded_scale =
                ops.quantize_row(quantized(m, E), scratch.embedded.data() + m * E, E);
            std::memcpy(states[m]->embedded(), quantized(m, E), size_t(E));
        }
        if (c.skip) base(weights.head_skip, first, true);
        for (int m = first; m < M; ++m)
            std::memcpy(states[m]->base(), scratch.bases.data() + m * c.bases(),
                        size_t(c.bases()) * sizeof(float));
    }
};

}  // namespace

Scratch::Scratch(const Config& c)
    : x(size_t(kMaxRows) * size_t(std::max(c.width, c.head_width))),
      embedded(size_t(kMaxRows) * size_t(c.embedding_width())),
      bases(size_t(kMaxRows) * size_t(c.bases())),
      logits(size_t(kMaxRows) * kBytes),
      sums(size_t(kMaxRows) * size_t(widest_output(c))),
      quantized(size_t(kMaxRows) * size_t(widest_input(c))),
      scale(kMaxRows),
      ahead(kMaxRows),
      row(size_t(std::max(widest_input(c), attention_scratch(c)))),
      start(size_t(c.bases())) {}

void step(const Weights& weights, Scratch& scratch, TrunkState* const states[], const Patch patches[], int M,
          int first) {
    const Config& c = weights.config;
    const Pass pass{weights, *weights.vector_ops, scratch, M};
    const int E = c.embedding_width();
    for (int m = 0; m < M; ++m) {
        pass.embed(patches[m], m);
        scratch.ahead[m] = m > 0 && states[m] == states[m - 1] ? scratch.ahead[m - 1] + 1 : 0;
        if (c.embedding) {
            scratch.scale[size_t(m)] =
                pass.ops.quantize_row(pass.quantized(m, E), scratch.embedded.data() + m * E, E);
        } else {
            std::memcpy(pass.x(m, E), scratch.embedded.data() + m * E, size_t(E) * sizeof(float));
        }
    }
    if (c.embedding) {
        pass.matmul(weights.input);
        for (int m = 0; m < M; ++m) {
            const Sums s = pass.sums(weights.input, m);
            pass.ops.dequantize(pass.x(m, c.width), &s, c.width);
        }
    }
    for (int i = 0; i < c.layers; ++i) {
        const Layer& layer = weights.layers[size_t(i)];
        // Of the last layer, rows without a base need the state alone.
        const int from = i + 1 == c.layers ? first : 0;
        if (layer.attention) {
            pass.attention(*layer.attention, i, layer.slot, states, from);
        } else {
            pass.recurrence(*layer.recurrence, i, layer.slot, states, from);
        }
        pass.swiglu(layer.swiglu, c.width, c.hidden, from);
    }
    for (int m = 0; m < M; ++m) states[m]->advance();
    pass.bases(states, first);
}

void restore_base(const Weights& weights, Scratch& scratch, TrunkState& state) {
    const Config& c = weights.config;
    const Pass pass{weights, *weights.vector_ops, scratch, 1};
    std::memcpy(pass.quantized(0, c.width), state.top(), size_t(c.width));
    scratch.scale[0] = state.top_scale;
    pass.base(weights.head_base, 0, false);
    if (c.skip) {
        std::memcpy(pass.quantized(0, 0), state.embedded(), size_t(c.embedding_width()));
        scratch.scale[0] = state.embedded_scale;
        pass.base(weights.head_skip, 0, true);
    }
    std::memcpy(state.base(), scratch.bases.data(), size_t(c.bases()) * sizeof(float));
}

void head(const Weights& weights, Scratch& scratch, const Prefix prefixes[], int M) {
    const Config& c = weights.config;
    const Pass pass{weights, *weights.vector_ops, scratch, M};
    const Table &leads = weights.prefix_lead, &pairs = weights.prefix_pair;
    for (int m = 0; m < M; ++m) {
        const OpenRows& rows = prefixes[m].rows;
        float* z = pass.x(m, c.head_width);
        if (c.patch == PatchRule::kByte) {
            std::memcpy(z, prefixes[m].base, size_t(c.head_width) * sizeof *z);
        } else {
            pass.ops.add_rows(z, prefixes[m].base, leads.row(rows.lead), leads.scale[size_t(rows.lead)],
                              pairs.row(rows.pair), pairs.scale[size_t(rows.pair)], c.head_width);
        }
        if (!c.prefixes) continue;
        pass.add(z, weights.prefix, rows.prefix);
        pass.add(z, weights.prefix, rows.suffix);
    }
    for (const SwiGlu& layer : weights.head_layers) pass.swiglu(layer, c.head_width, c.head_hidden);
    pass.normalise(weights.head_norm, c.head_width);
    pass.matmul(weights.head_out);
    for (int m = 0; m < M; ++m) {
        const Sums s = pass.sums(weights.head_out, m);
        pass.ops.dequantize(scratch.logits.data() + m * kBytes, &s, kBytes);
    }
}

}  // namespace plm::infer
