// The original author's model: a byte transformer whose blocks are a gated unit, attention over a ring of
// keys and values, and a gated unit (public domain sources, github.com/wangyi-fudan/wyGPT, commit 3edb703).
// In equations: tests/engine/wygpt_reference.py.
//
// Float files are run in float32, int8 files on the integer kernels. As in his program the ring slides past
// the context: old keys and values stay as they were computed, so deep layers still know of bytes older than
// it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "network.h"
#include "weights.h"
#include "wygpt_ops.h"

namespace plm::infer {

struct WygptConfig {
    int context, width, layers, heads;
    Encoding encoding;

    int head_size() const { return width / heads; }
};

// y = W x / sqrt(inputs), the root taken into the weights or their scales when the model is loaded.
struct WygptLinear {
    int N = 0, K = 0;
    Matrix quantized;           // of an int8 file
    std::vector<float> panels;  // of any other, packed as WygptOps::matmul_f32 wants it
};

// `bias` is [heads][2 * context]: the bias of distance d at [context - 1 - d], and again one context later,
// so that the biases of a ring's slots lie side by side wherever the newest is.
struct WygptLayer {
    WygptLinear first_in, first_out, attention_in, attention_out, second_in, second_out;
    std::vector<float> bias;
};

struct WygptWeights {
    // As the constructor of Weights.
    WygptWeights(const WygptConfig& config, const std::function<TensorView(const std::string&)>& tensor,
                 const std::string& isa);

    WygptConfig config;
    const cpu_vnni_kernels* kernels;
    const VectorOps* vector_ops;
    const WygptOps* ops;
    std::vector<float> embedding;  // [256][width]
    std::vector<WygptLayer> layers;
    WygptLinear out;
};

class WygptNetwork : public Network {
  public:
    explicit WygptNetwork(WygptWeights weights);
    ~WygptNetwork() override;

    // Nothing has been read: there is no start symbol, and the first byte costs 8 bits.
    std::unique_ptr<State> begin() override;
    void read(State& state, const uint8_t* bytes, size_t size, double* bits) override;
    void predict(float* logits, State* const states[], size_t M) override;
    void advance(State* const states[], const uint8_t bytes[], size_t M) override;
    const char* isa() const override { return weights_.kernels->name; }
    const VectorOps& vector_ops() const override { return *weights_.vector_ops; }
    Encoding encoding() const override { return weights_.config.encoding; }
    bool has_marks() const override { return false; }

  private:
    class Ring;
    struct Scratch;
    struct Pass;
    using Lease = ScratchPool<Scratch>::Lease;

    Lease lease();
    // Rows m = 0..M-1, in this order: reads bytes[m] in rings[m].
    void step(Scratch& scratch, Ring* const rings[], const uint8_t bytes[], int M) const;
    // Logits [M][256] after the views [M][width].
    void head(Scratch& scratch, float* logits, const float* views, int M) const;

    const WygptWeights weights_;
    ScratchPool<Scratch> pool_;
};

}  // namespace plm::infer
