// The author's hash, whose lowest bit is the sign in wyGPT's computed embeddings; it is frozen in his models.
#pragma once
#include <cstdint>

namespace plm {

// Two rounds of his mixing (from wyhash, public domain) over a byte and a place in its row.
inline uint64_t wygpt_hash(uint64_t a, uint64_t b) {
    const auto swap_halves = [](uint64_t x) { return (x >> 32) | (x << 32); };
    for (int round = 0; round < 2; ++round) {
        a ^= 0xa0761d6478bd642fu;
        b ^= 0xa0761d6478bd642fu;
        const uint64_t a_high = a >> 32, a_low = uint32_t(a), b_high = b >> 32, b_low = uint32_t(b);
        a = swap_halves(a_high * b_low) ^ (a_high * b_high);
        b = swap_halves(a_low * b_high) ^ (a_low * b_low);
    }
    return a ^ b;
}

// +1 or -1: the embedding of a byte at a place in its row.
inline float wygpt_sign(uint64_t byte, uint64_t place) {
    return wygpt_hash(byte, place) & 1 ? 1.0f : -1.0f;
}

}  // namespace plm
