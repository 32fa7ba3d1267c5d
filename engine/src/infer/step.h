// The model itself: the trunk moves on by one character, the head predicts one byte.
//
// Both work on a batch of rows. A row of the trunk is one character together with the state that it moves
// on: rows of different sessions, or characters of one session in the order of the text, or a mixture. All
// but the recurrences is one matrix product over the rows, and every row is quantised by itself, so a result
// does not depend on what else is in the batch, to the last bit.
#pragma once

#include <memory>
#include <vector>

#include "utf8.h"
#include "weights.h"

namespace plm {

constexpr int kMaxRows = 64;

// One session's memory: floats in one block, so that saving it is one copy.
//   recurrent [layers][state], history [layers][2][width] (older first), base [head_width]
class TrunkState {
  public:
    explicit TrunkState(const Config& config)
        : config_(config),
          floats_(size_t(config.layers) * size_t(config.state + 2 * config.width) +
                  size_t(config.head_width)) {}

    float* recurrent(int layer) { return floats_.data() + size_t(layer) * size_t(config_.state); }
    float* history(int layer) {
        return recurrent(config_.layers) + size_t(layer) * size_t(2 * config_.width);
    }
    // The states of a large batch lie in a slower cache: fetched one row ahead.
    void prefetch(int layer) {
        for (int i = 0; i < config_.state; i += 16) __builtin_prefetch(recurrent(layer) + i, 1);
        for (int i = 0; i < 2 * config_.width; i += 16) __builtin_prefetch(history(layer) + i, 1);
    }
    // What the head starts from: the trunk's view of all closed characters.
    float* base() { return history(config_.layers); }

    std::vector<float>& floats() { return floats_; }
    const std::vector<float>& floats() const { return floats_; }

  private:
    Config config_;
    std::vector<float> floats_;
};

// Memory that a call of step or head works in. One call at a time; nothing in it lives on.
class Scratch {
  public:
    explicit Scratch(const Config& config);

    // [kMaxRows][...] each
    std::vector<float> x, bases, logits;
    std::vector<int32_t> sums;
    std::vector<int8_t> quantized;
    std::vector<float> scale;  // of each quantized row
    std::vector<float> row;    // one row of floats on its way to being quantised
    std::vector<float> start;  // a base from before the batch
};

// Moves states[m] on by characters[m] for m = 0..M-1, in this order. From row `first` on, the base is
// computed: it is left in scratch.bases[m] and becomes the state's.
void step(const Weights& weights, Scratch& scratch, TrunkState* const states[], const Character characters[],
          int M, int first);

// What is known before a byte: the base after all closed characters and the rows of the prefix tables.
struct Prefix {
    const float* base;
    int lead, pair;
};

// scratch.logits[m][256] for the byte that follows prefixes[m].
void head(const Weights& weights, Scratch& scratch, const Prefix prefixes[], int M);

}  // namespace plm
