#include "wygpt.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace plm::infer {
namespace {

constexpr int kMaxRows = 64;

// Without a byte before it, every byte is as likely as any other.
constexpr double kFirstBits = 8.0;

}  // namespace

// Keys and values of the last `context` bytes, byte number t in slot t mod context: floats in one block, so
// that saving it is one copy.
//   filled and next slot, view [width], keys [layers][width][context], values [layers][heads][context][head
//   size], bytes [context]
class WygptNetwork::Ring : public Network::State {
  public:
    explicit Ring(const WygptConfig& c)
        : State(c.encoding),
          config_(c),
          plane_(size_t(c.context) * size_t(c.width)),
          floats_(2 + size_t(c.width) + 2 * size_t(c.layers) * plane_ + size_t(c.context)) {}

    std::unique_ptr<State> clone() const override { return std::make_unique<Ring>(*this); }
    std::string save() const override {
        return {reinterpret_cast<const char*>(floats_.data()), floats_.size() * sizeof(float)};
    }

    void restore(const std::string& saved, const TextCutter&) override {
        if (saved.size() != floats_.size() * sizeof(float))
            throw std::invalid_argument("the state has another size");
        std::vector<float> next(floats_.size());  // a copy, as the bytes may lie at any address
        std::memcpy(next.data(), saved.data(), saved.size());
        const float* floats = next.data();
        const size_t count = next.size();
        if (!std::all_of(floats, floats + count, [](float x) { return std::isfinite(x); }))
            throw std::invalid_argument("the state holds a value that is not finite");
        const auto whole = [](float x, int limit) {
            return x >= 0 && x <= float(limit) && x == std::floor(x);
        };
        const float* bytes = floats + count - size_t(config_.context);
        const bool good = whole(floats[0], config_.context) && whole(floats[1], config_.context - 1) &&
                          (int(floats[0]) == config_.context || floats[1] == floats[0]) &&
                          std::all_of(bytes, floats + count, [&](float b) { return whole(b, kBytes - 1); });
        if (!good) throw std::invalid_argument("the state is not one of this model");
        floats_ = std::move(next);
    }

    std::string recent() const override {
        std::string out(size_t(filled()), '\0');
        const size_t oldest = filled() < config_.context ? 0 : size_t(next());
        for (size_t i = 0; i < out.size(); ++i)
            out[i] = char(uint8_t(bytes()[(oldest + i) % size_t(config_.context)]));
        return out;
    }

    // One more byte: the slot that was next is its own.
    void push(uint8_t byte) {
        const int slot = next();
        floats_[floats_.size() - size_t(config_.context - slot)] = byte;
        floats_[0] = float(std::min(filled() + 1, config_.context));
        floats_[1] = float((slot + 1) % config_.context);
        Character closed[2];
        text.push(byte, closed);
    }

    int filled() const { return int(floats_[0]); }
    int next() const { return int(floats_[1]); }
    float* view() { return floats_.data() + 2; }
    float* keys(int layer) { return view() + config_.width + size_t(layer) * plane_; }
    float* values(int layer) { return keys(config_.layers) + size_t(layer) * plane_; }
    const float* bytes() const { return floats_.data() + floats_.size() - config_.context; }

  private:
    WygptConfig config_;
    size_t plane_;
    std::vector<float> floats_;
};

struct WygptNetwork::Scratch {
    explicit Scratch(const WygptConfig& c)
        : x(rows(c.width)),
          wide(rows(4 * c.width)),
          narrow(rows(c.width)),
          weights(size_t(c.context)),
          start(size_t(c.width)),
          views(rows(c.width)),
          logits(rows(kBytes)),
          sums(rows(std::max(4 * c.width, kBytes))),
          quantized(rows(c.width)) {}
    static size_t rows(int width) { return size_t(kMaxRows) * size_t(width); }

    std::vector<float> x, wide, narrow;
    std::vector<float> weights;  // of one head's attention
    std::vector<float> start, views, logits;
    std::vector<int32_t> sums;
    std::vector<int8_t> quantized;
};

// M rows on their way through the layers.
struct WygptNetwork::Pass {
    const WygptWeights& weights;
    Scratch& scratch;
    const int M;
    const int R = weights.config.width, r = weights.config.head_size();

    void linear(float* out, const WygptLinear& matrix, const float* x) const {
        const int N = matrix.N, K = matrix.K;
        if (!matrix.panels.empty()) {
            weights.ops->matmul_f32(out, x, matrix.panels.data(), M, N, K);
            return;
        }
        float scales[kMaxRows];
        for (int m = 0; m < M; ++m)
            scales[m] = weights.ops->quantize(scratch.quantized.data() + m * K, x + m * K, K);
        weights.kernels->matmul_i8(scratch.sums.data(), scratch.quantized.data(),
                                   matrix.quantized.packed.get(), M, N, K);
        for (int m = 0; m < M; ++m) {
            const Sums sums{scratch.sums.data() + m * N, matrix.quantized.scale.data(), scales[m]};
            weights.vector_ops->dequantize(out + m * N, &sums, N);
        }
    }

    // x += out @ norm(narrow)
    void residual(const WygptLinear& out) const {
        weights.ops->norm(scratch.narrow.data(), M * R, r);
        linear(scratch.wide.data(), out, scratch.narrow.data());
        weights.ops->add(scratch.x.data(), scratch.wide.data(), M * R);
    }

    void gated(const WygptLinear& in, const WygptLinear& out) const {
        linear(scratch.wide.data(), in, scratch.x.data());
        weights.ops->norm(scratch.wide.data(), M * 2 * R, r);
        for (int m = 0; m < M; ++m) {
            const float* h = scratch.wide.data() + m * 2 * R;
            weights.ops->multiply(scratch.narrow.data() + m * R, h, h + R, R);
        }
        residual(out);
    }

    // Row by row, as a row's key may take the slot that a row before it still reads.
    void attention(const WygptLayer& layer, int index, Ring* const rings[], const int filled[],
                   const int slots[]) const {
        const int C = weights.config.context;
        linear(scratch.wide.data(), layer.attention_in, scratch.x.data());
        weights.ops->norm(scratch.wide.data(), M * 4 * R, r);
        for (int m = 0; m < M; ++m) {
            const float *k = scratch.wide.data() + m * 4 * R, *q = k + R, *v = q + R, *gate = v + R;
            float *keys = rings[m]->keys(index), *values = rings[m]->values(index);
            float* out = scratch.narrow.data() + m * R;
            for (int i = 0; i < R; ++i) keys[size_t(i) * size_t(C) + size_t(slots[m])] = k[i];
            for (int begin = 0; begin < R; begin += r) {
                float* values_of_head = values + size_t(begin) * size_t(C);
                std::copy_n(v + begin, r, values_of_head + size_t(slots[m]) * size_t(r));
                const float* bias = layer.bias.data() + size_t(begin / r) * 2 * size_t(C);
                weights.ops->attend(out + begin, scratch.weights.data(), q + begin,
                                    keys + size_t(begin) * size_t(C), values_of_head,
                                    bias + (C - 1 - slots[m]), filled[m], C, r);
            }
            weights.ops->multiply(out, out, gate, R);
        }
        residual(layer.attention_out);
    }
};

WygptNetwork::WygptNetwork(WygptWeights weights) : weights_(std::move(weights)) {}

WygptNetwork::~WygptNetwork() = default;

WygptNetwork::Lease WygptNetwork::lease() {
    return {pool_, [this] { return std::make_unique<Scratch>(weights_.config); }};
}

std::unique_ptr<Network::State> WygptNetwork::begin() {
    return std::make_unique<Ring>(weights_.config);
}

// Leaves what the head starts from in scratch.views and in the rings.
void WygptNetwork::step(Scratch& scratch, Ring* const rings[], const uint8_t bytes[], int M) const {
    const Pass pass{weights_, scratch, M};
    const int R = weights_.config.width;
    int filled[kMaxRows], slots[kMaxRows];
    for (int m = 0; m < M; ++m) {
        slots[m] = rings[m]->next();
        rings[m]->push(bytes[m]);
        filled[m] = rings[m]->filled();
        std::copy_n(weights_.embedding.data() + size_t(bytes[m]) * size_t(R), R, scratch.x.data() + m * R);
    }
    for (int i = 0; i < weights_.config.layers; ++i) {
        const WygptLayer& layer = weights_.layers[size_t(i)];
        pass.gated(layer.first_in, layer.first_out);
        pass.attention(layer, i, rings, filled, slots);
        pass.gated(layer.second_in, layer.second_out);
    }
    std::copy_n(scratch.x.data(), M * R, scratch.views.data());
    weights_.ops->norm(scratch.views.data(), M * R, R);
    for (int m = 0; m < M; ++m) std::copy_n(scratch.views.data() + m * R, R, rings[m]->view());
}

void WygptNetwork::head(Scratch& scratch, float* logits, const float* views, int M) const {
    Pass{weights_, scratch, M}.linear(logits, weights_.out, views);
}

void WygptNetwork::read(State& state, const uint8_t* bytes, size_t size, double* bits) {
    Ring& ring = static_cast<Ring&>(state);
    Lease lent = lease();
    Scratch& scratch = *lent;
    const int R = weights_.config.width;
    Ring* rings[kMaxRows];
    std::fill_n(rings, kMaxRows, &ring);
    for (size_t done = 0; done < size; done += kMaxRows) {
        const int M = int(std::min(size_t(kMaxRows), size - done));
        const bool first = ring.filled() == 0;
        std::copy_n(ring.view(), R, scratch.start.data());
        step(scratch, rings, bytes + done, M);
        if (bits == nullptr) continue;
        // Every byte is scored after the view before it.
        std::copy_backward(scratch.views.data(), scratch.views.data() + (M - 1) * R,
                           scratch.views.data() + M * R);
        std::copy_n(scratch.start.data(), R, scratch.views.data());
        head(scratch, scratch.logits.data(), scratch.views.data(), M);
        for (int m = 0; m < M; ++m)
            bits[done + size_t(m)] =
                cost_bits(*weights_.vector_ops, scratch.logits.data() + m * kBytes, bytes[done + size_t(m)]);
        if (first) bits[done] = kFirstBits;
    }
}

void WygptNetwork::predict(float* logits, State* const states[], size_t count) {
    Lease lent = lease();
    Scratch& scratch = *lent;
    for (size_t begin = 0; begin < count; begin += kMaxRows) {
        const int M = int(std::min(size_t(kMaxRows), count - begin));
        for (int m = 0; m < M; ++m)  // before the first byte the view is zero, and so are all logits
            std::copy_n(static_cast<Ring*>(states[begin + size_t(m)])->view(), weights_.config.width,
                        scratch.views.data() + m * weights_.config.width);
        head(scratch, logits + begin * kBytes, scratch.views.data(), M);
    }
}

void WygptNetwork::advance(State* const states[], const uint8_t bytes[], size_t count) {
    Lease lent = lease();
    for (size_t begin = 0; begin < count; begin += kMaxRows) {
        const int M = int(std::min(size_t(kMaxRows), count - begin));
        Ring* rings[kMaxRows];
        for (int m = 0; m < M; ++m) rings[m] = static_cast<Ring*>(states[begin + size_t(m)]);
        step(*lent, rings, bytes + begin, M);
    }
}

}  // namespace plm::infer
