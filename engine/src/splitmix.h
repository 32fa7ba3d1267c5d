// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): its state is
// one 64-bit counter, so seed and position fit in eight bytes. Sampling and training both draw from it.
#pragma once

#include <cstdint>

namespace plm {

struct SplitMix64 {
    uint64_t state;

    uint64_t next() {
        uint64_t z = (state += 0x9E3779B97F4A7C15u);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    }
    // Uniform in [0, 1), all 53 bits of a double used.
    double uniform() { return double(next() >> 11) * 0x1p-53; }
};

}  // namespace plm
