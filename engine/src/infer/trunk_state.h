// What the model remembers of one text, and how it is written into a snapshot.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "weights.h"

namespace plm {

class TrunkState {
  public:
    explicit TrunkState(const Config& config);

    float* recurrent(int slot) { return floats_.data() + size_t(slot) * size_t(config_.state); }
    float* history(int layer) { return histories() + size_t(layer) * size_t(2 * config_.width); }
    // What the head starts from: the trunk's view of all closed patches, [views][head_width].
    float* base() { return histories() + size_t(config_.layers) * size_t(2 * config_.width); }
    Ring ring(int slot);
    // The rings move on with every patch.
    void advance() { position_ = (position_ + 1) % uint32_t(config_.window); }

    // The rows, and their scales, that the base is computed from: snapshots keep them instead of it.
    int8_t* top() { return tops_.data(); }
    int8_t* embedded() { return tops_.data() + config_.width; }
    float top_scale = 0, embedded_scale = 0;

    // The states of a large batch lie in a slower cache: fetched one row ahead.
    void prefetch(int layer, int slot) {
        if (!config_.attends(layer))
            for (int i = 0; i < config_.state; i += 16) __builtin_prefetch(recurrent(slot) + i, 1);
        for (int i = 0; i < 2 * config_.width; i += 16) __builtin_prefetch(history(layer) + i, 1);
    }

    // Everything but the base, exactly: recurrent states as float32; convolution histories and the rings'
    // scales as bf16, which is all the precision they have.
    void save(std::string* out) const;
    // Takes what save wrote from `bytes`; false, and a state of no use, if that cannot be one.
    bool restore(const char* bytes, size_t size);
    size_t saved_size() const;

  private:
    float* histories() { return floats_.data() + recurrent_size_; }
    size_t history_size() const { return size_t(config_.layers) * size_t(2 * config_.width); }

    Config config_;
    size_t recurrent_size_;
    std::vector<float> floats_;  // recurrent states, histories [layers][2][width] (older first), base
    std::vector<int8_t> rings_;  // of each attention layer: keys, then values
    std::vector<float> scales_;  // of each attention layer: of the keys, then of the values
    std::vector<int8_t> tops_;
    uint32_t position_ = 0;
};

}  // namespace plm
