// What the model remembers of one text, and how it is written into a snapshot.
#pragma once

#include <cstdint>
#include <string>

#include "aligned.h"
#include "weights.h"

namespace plm::infer {

// All in one block, in the order in which a snapshot holds it, so that saving, restoring and copying are one
// copy each: recurrent states (float32), convolution histories [layers][2][width] (bf16, older first), the
// rings of each attention layer (int8 keys, then values) and their scales (bf16), the rows that the base is
// computed from (int8). Behind them, and in no snapshot, the base.
class TrunkState {
  public:
    explicit TrunkState(const Config& config);

    float* recurrent(int slot) { return at<float>(0) + size_t(slot) * size_t(config_.state); }
    uint16_t* history(int layer) {
        return at<uint16_t>(histories_) + size_t(layer) * size_t(2 * config_.width);
    }
    Ring ring(int slot);
    // The rings move on with every patch.
    void advance() { position_ = (position_ + 1) % uint32_t(config_.window); }

    // The rows, and their scales, that the base is computed from: snapshots keep them instead of it.
    int8_t* top() { return at<int8_t>(tops_); }
    int8_t* embedded() { return top() + config_.width; }
    float top_scale = 0, embedded_scale = 0;
    // What the head starts from: the trunk's view of all closed patches, [views][head_width].
    float* base() { return at<float>(base_); }

    // The states of a large batch lie in a slower cache: prefetched one row ahead.
    void prefetch_history(int layer) { fetch(history(layer), size_t(2 * config_.width)); }
    void prefetch_recurrent(int slot) { fetch(recurrent(slot), size_t(config_.state)); }
    void prefetch_ring(int slot) {
        const Ring here = ring(slot);
        fetch(here.keys, size_t(2 * config_.head_size * config_.window));
        fetch(here.key_scales, size_t(2 * config_.window));
    }

    // Everything but the base, exactly.
    void save(std::string* out) const;
    // Restores what `save` wrote; false, and an unusable state, if `bytes` cannot be one.
    bool restore(const char* bytes, size_t size);
    size_t saved_size() const;

  private:
    template <typename T>
    static void fetch(const T* from, size_t count) {
        for (size_t i = 0; i < count; i += 64 / sizeof(T)) __builtin_prefetch(from + i, 1);
    }
    template <typename T>
    T* at(size_t offset) {
        return reinterpret_cast<T*>(memory_.data() + offset);
    }

    Config config_;
    size_t histories_, rings_, scales_, tops_, saved_, base_;  // where each begins, in bytes
    AlignedVector<char> memory_;
    uint32_t position_ = 0;
};

}  // namespace plm::infer
