#include "trunk_state.h"

#include <cmath>
#include <cstring>

namespace plm::infer {
namespace {

constexpr size_t kLine = 64;

template <typename T>
void put(std::string* out, const T& value) {
    out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <typename T>
void take(const char** from, T* value) {
    std::memcpy(value, *from, sizeof *value);
    *from += sizeof *value;
}

bool all_finite(const float* values, size_t count) {
    bool finite = true;
    for (size_t i = 0; i < count; ++i) finite &= std::isfinite(values[i]);
    return finite;
}

bool all_finite_bf16(const uint16_t* values, size_t count) {
    bool finite = true;
    for (size_t i = 0; i < count; ++i) finite &= (values[i] & 0x7F80) != 0x7F80;
    return finite;
}

}  // namespace

TrunkState::TrunkState(const Config& c) : config_(c) {
    const auto attention = size_t(c.attention_layers()), layers = size_t(c.layers);
    histories_ = (layers - attention) * size_t(c.state) * sizeof(float);
    rings_ = histories_ + layers * size_t(2 * c.width) * sizeof(uint16_t);
    scales_ = rings_ + attention * size_t(2 * c.head_size * c.window);
    tops_ = scales_ + attention * size_t(2 * c.window) * sizeof(uint16_t);
    saved_ = tops_ + size_t(c.width + (c.skip ? c.embedding_width() : 0));
    base_ = (saved_ + kLine - 1) / kLine * kLine;
    memory_.resize(base_ + size_t(c.bases()) * sizeof(float));
}

Ring TrunkState::ring(int slot) {
    const size_t size = size_t(config_.window), all = size * size_t(config_.head_size);
    int8_t* keys = at<int8_t>(rings_) + size_t(slot) * 2 * all;
    uint16_t* scales = at<uint16_t>(scales_) + size_t(slot) * 2 * size;
    return {keys, keys + all, scales, scales + size, config_.window, int(position_)};
}

size_t TrunkState::saved_size() const {
    return saved_ + sizeof top_scale + sizeof embedded_scale + sizeof position_;
}

void TrunkState::save(std::string* out) const {
    out->append(memory_.data(), saved_);
    put(out, top_scale);
    put(out, embedded_scale);
    put(out, position_);
}

bool TrunkState::restore(const char* bytes, size_t size) {
    if (size != saved_size()) return false;
    std::memcpy(memory_.data(), bytes, saved_);
    bytes += saved_;
    take(&bytes, &top_scale);
    take(&bytes, &embedded_scale);
    take(&bytes, &position_);
    return all_finite(at<float>(0), histories_ / sizeof(float)) &&
           all_finite_bf16(at<uint16_t>(histories_), (rings_ - histories_) / sizeof(uint16_t)) &&
           all_finite_bf16(at<uint16_t>(scales_), (tops_ - scales_) / sizeof(uint16_t)) &&
           std::isfinite(top_scale) && std::isfinite(embedded_scale) && position_ < uint32_t(config_.window);
}

}  // namespace plm::infer
