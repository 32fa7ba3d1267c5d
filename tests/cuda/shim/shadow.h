// What the checker keeps of one piece of memory.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sim {

// One access: the block it came from (serial over all launches, 0 for none), and when, within it.
struct Access {
    uint32_t block;
    uint32_t epoch;
    uint32_t clock;
    uint32_t pc;
    uint16_t thread;
    bool atomic;
};

// Of four bytes, or of one where the piece is used in smaller parts. Two readers are kept, so that a write
// finds one other than the sampler.
struct Cell {
    Access write, read[2];
    uint32_t launch;  // of the last access
    bool written, pending;
};

struct Region {
    char* begin;
    size_t size;
    size_t granule = 4;
    std::vector<Cell> cells;

    explicit Region(char* b, size_t n) : begin(b), size(n), cells((n + 3) / 4) {}
    bool holds(const void* p, size_t n) const {
        return p >= begin && static_cast<const char*>(p) + n <= begin + size;
    }
    void narrow();
};

}  // namespace sim
