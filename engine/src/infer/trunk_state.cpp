#include "trunk_state.h"

#include <cmath>

namespace plm {
namespace {

void put(std::string* out, const void* data, size_t size) {
    out->append(static_cast<const char*>(data), size);
}

void put_bf16(std::string* out, const float* values, size_t count) {
    for (size_t i = 0; i < count; ++i) {
        uint32_t bits;
        std::memcpy(&bits, values + i, sizeof bits);
        const uint16_t high = uint16_t(bits >> 16);
        put(out, &high, sizeof high);
    }
}

bool take(const char** from, void* to, size_t size) {
    if (size > 0) std::memcpy(to, *from, size);  // empty vectors have no address
    *from += size;
    return true;
}

bool all_finite(const float* values, size_t count) {
    bool finite = true;
    for (size_t i = 0; i < count; ++i) finite &= std::isfinite(values[i]);
    return finite;
}

bool take_floats(const char** from, float* to, size_t count) {
    take(from, to, count * sizeof *to);
    return all_finite(to, count);
}

bool take_bf16(const char** from, float* to, size_t count) {
    for (size_t i = 0; i < count; ++i) {
        uint16_t high;
        take(from, &high, sizeof high);
        const uint32_t bits = uint32_t(high) << 16;
        std::memcpy(to + i, &bits, sizeof bits);
    }
    return all_finite(to, count);
}

}  // namespace

TrunkState::TrunkState(const Config& c)
    : config_(c),
      recurrent_size_(size_t(c.layers - c.attention_layers()) * size_t(c.state)),
      floats_(recurrent_size_ + size_t(c.layers) * size_t(2 * c.width) + size_t(c.bases())),
      rings_(size_t(c.attention_layers()) * size_t(2 * c.head_size * c.window)),
      scales_(size_t(c.attention_layers()) * size_t(2 * c.window)),
      tops_(size_t(c.width + (c.skip ? c.embedding_width() : 0))) {}

Ring TrunkState::ring(int slot) {
    const size_t size = size_t(config_.window), all = size * size_t(config_.head_size);
    int8_t* keys = rings_.data() + size_t(slot) * 2 * all;
    float* scales = scales_.data() + size_t(slot) * 2 * size;
    return {keys, keys + all, scales, scales + size, config_.window, int(position_)};
}

size_t TrunkState::saved_size() const {
    return recurrent_size_ * sizeof(float) + history_size() * sizeof(uint16_t) + rings_.size() +
           scales_.size() * sizeof(uint16_t) + tops_.size() + 2 * sizeof(float) + sizeof position_;
}

void TrunkState::save(std::string* out) const {
    put(out, floats_.data(), recurrent_size_ * sizeof(float));
    put_bf16(out, floats_.data() + recurrent_size_, history_size());
    put(out, rings_.data(), rings_.size());
    put_bf16(out, scales_.data(), scales_.size());
    put(out, tops_.data(), tops_.size());
    put(out, &top_scale, sizeof top_scale);
    put(out, &embedded_scale, sizeof embedded_scale);
    put(out, &position_, sizeof position_);
}

bool TrunkState::restore(const char* bytes, size_t size) {
    if (size != saved_size()) return false;
    bool whole = take_floats(&bytes, floats_.data(), recurrent_size_);
    whole &= take_bf16(&bytes, histories(), history_size());
    whole &= take(&bytes, rings_.data(), rings_.size());
    whole &= take_bf16(&bytes, scales_.data(), scales_.size());
    whole &= take(&bytes, tops_.data(), tops_.size());
    whole &= take_floats(&bytes, &top_scale, 1);
    whole &= take_floats(&bytes, &embedded_scale, 1);
    take(&bytes, &position_, sizeof position_);
    return whole && position_ < uint32_t(config_.window);
}

}  // namespace plm
