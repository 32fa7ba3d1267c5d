// The character-synchronous model (step.h) as sessions use it.
#pragma once

#include "network.h"
#include "step.h"
#include "weights.h"

namespace plm::infer {

class CharacterModel : public Network {
  public:
    explicit CharacterModel(Weights weights);

    std::unique_ptr<State> begin() override;  // an end mark has been read, as before every text
    void read(State& state, const uint8_t* bytes, size_t size, double* bits) override;
    void score_each(const State& state, const std::vector<std::string_view>& texts, double* bits) override;
    void predict(float* logits, State* const states[], size_t M) override;
    void advance(State* const states[], const uint8_t bytes[], size_t M) override;
    const char* isa() const override { return weights_.kernels->name; }
    const VectorOps& vector_ops() const override { return *weights_.vector_ops; }
    Encoding encoding() const override { return Encoding::kUtf8; }
    bool has_marks() const override { return true; }

  private:
    class CharacterState;
    using Lease = ScratchPool<Scratch>::Lease;

    // A byte to be scored, and what is known before it.
    struct Target {
        Prefix prefix;
        uint8_t byte;
    };

    Lease lease();
    size_t read_chunk(Scratch& scratch, CharacterState& state, const uint8_t* bytes, size_t size,
                      double* bits);
    // bits[i] for targets[0..count).
    void score(Scratch& scratch, const Target targets[], int count, double* bits) const;

    const Weights weights_;
    ScratchPool<Scratch> pool_;
    std::unique_ptr<State> start_;  // an end mark has been read
};

}  // namespace plm::infer
