#include "collectives.h"

#include <algorithm>
#include <cstring>

#include "memory.h"

namespace sim {
namespace {

struct Shuffle {
    const void* value;
    size_t size;
    int source;
};

void do_shuffle(Lanes lanes) {
    for (Thread* lane : lanes) {
        if (!lane) continue;
        auto* mine = static_cast<const Shuffle*>(lane->inp);
        const Thread* from = mine->source >= 0 && mine->source < 32 ? lanes[mine->source] : nullptr;
        if (!from) {
            block.fail("shuffle: lane " + std::to_string(lane->lane()) + " reads lane " +
                       std::to_string(mine->source) + ", which is not in the mask, at " + lane->site.text());
        }
        std::memcpy(lane->out, static_cast<const Shuffle*>(from->inp)->value, mine->size);
    }
}

void do_ballot(Lanes lanes) {
    unsigned votes = 0;
    for (int i = 0; i < 32; ++i)
        if (lanes[i] && *static_cast<const bool*>(lanes[i]->inp)) votes |= 1u << i;
    for (Thread* lane : lanes)
        if (lane) *static_cast<unsigned*>(lane->out) = votes;
}

void do_sync(Lanes lanes) {
    uint32_t joined[32] = {};
    for (Thread* lane : lanes)
        for (int i = 0; lane && i < 32; ++i) joined[i] = std::max(joined[i], lane->clock[i]);
    for (Thread* lane : lanes) {
        if (!lane) continue;
        std::copy_n(joined, 32, lane->clock);
        ++lane->clock[lane->lane()];
    }
}

struct Product {
    const uint32_t *a, *b;
};

template <class T>
T part(uint32_t reg, int index) {
    T value;
    std::memcpy(&value, reinterpret_cast<const char*>(&reg) + size_t(index) * sizeof(T), sizeof value);
    return value;
}

float value_of(uint16_t bf16) {
    uint32_t bits = uint32_t(bf16) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
int32_t value_of(int8_t x) {
    return x;
}

// PTX ISA, "Matrix fragments for mma.m16n8k16" and "... m16n8k32". A register holds 32 bits of neighbours in
// k. With g = lane / 4, t = lane % 4, P elements a register:
//   a[i]: row g + 8 (i % 2), k = P t + 4 P (i / 2);  b[i]: column g, k = P t + 4 P i;
//   d[i]: row g + 8 (i / 2), column 2 t + i % 2.
template <class Element, class Sum>
void do_mma(Lanes lanes) {
    constexpr int P = 4 / sizeof(Element), K = 8 * P;
    Sum a[16][K], b[8][K];
    for (int lane = 0; lane < 32; ++lane) {
        auto* in = static_cast<const Product*>(lanes[lane]->inp);
        int g = lane / 4, t = lane % 4;
        for (int p = 0; p < P; ++p) {
            for (int i = 0; i < 4; ++i)
                a[g + 8 * (i % 2)][P * t + 4 * P * (i / 2) + p] = value_of(part<Element>(in->a[i], p));
            for (int i = 0; i < 2; ++i) b[g][P * t + 4 * P * i + p] = value_of(part<Element>(in->b[i], p));
        }
    }
    for (int lane = 0; lane < 32; ++lane) {
        auto* d = static_cast<Sum*>(lanes[lane]->out);
        for (int i = 0; i < 4; ++i) {
            const Sum *row = a[lane / 4 + 8 * (i / 2)], *column = b[2 * (lane % 4) + i % 2];
            Sum sum = d[i];
            for (int k = 0; k < K; ++k) sum += row[k] * column[k];
            d[i] = sum;
        }
    }
}

struct Matrices {
    const void* row;
    bool transposed;
};

// PTX ISA, ldmatrix: lanes 8 i to 8 i + 7 point to the rows of matrix i, 8 numbers of 16 bits each. Lane l
// gets numbers 2 (l % 4) and the next one of row l / 4; transposed, of column l / 4.
void do_ldmatrix(Lanes lanes) {
    const uint16_t* rows[32];
    for (int i = 0; i < 32; ++i)
        rows[i] = static_cast<const uint16_t*>(static_cast<const Matrices*>(lanes[i]->inp)->row);
    for (int lane = 0; lane < 32; ++lane) {
        auto* out = static_cast<uint32_t*>(lanes[lane]->out);
        bool transposed = static_cast<const Matrices*>(lanes[lane]->inp)->transposed;
        int g = lane / 4, t = 2 * (lane % 4);
        for (int i = 0; i < 4; ++i) {
            uint16_t low = transposed ? rows[8 * i + t][g] : rows[8 * i + g][t];
            uint16_t high = transposed ? rows[8 * i + t + 1][g] : rows[8 * i + g][t + 1];
            out[i] = uint32_t(low) | uint32_t(high) << 16;
        }
    }
}

template <class T, class F>
T atomically(T* at, F&& f) {
    auto pc = reinterpret_cast<uintptr_t>(__builtin_return_address(0)) - 1;
    block.maybe_preempt();
    memory_access(at, sizeof *at, Kind::kAtomic, pc);
    T before = *at;
    *at = f(before);
    return before;
}

}  // namespace

void shuffle(unsigned mask, Site site, const void* inp, void* out, size_t size, int source) {
    Shuffle mine{inp, size, source};
    block.meet(&do_shuffle, mask, site, &mine, out);
}

unsigned ballot(unsigned mask, Site site, bool predicate) {
    unsigned votes = 0;
    block.meet(&do_ballot, mask, site, &predicate, &votes);
    return votes;
}

void sync_warp(unsigned mask, Site site) {
    block.meet(&do_sync, mask, site, nullptr, nullptr);
}

void mma_bf16_16816(float d[4], const uint32_t a[4], const uint32_t b[2], Site site) {
    Product mine{a, b};
    block.meet(&do_mma<uint16_t, float>, ~0u, site, &mine, d);
}

void mma_s8_16832(int32_t d[4], const uint32_t a[4], const uint32_t b[2], Site site) {
    Product mine{a, b};
    block.meet(&do_mma<int8_t, int32_t>, ~0u, site, &mine, d);
}

void ldmatrix_x4(uint32_t out[4], const void* row, bool transposed, Site site) {
    auto pc = reinterpret_cast<uintptr_t>(__builtin_return_address(0)) - 1;
    if (reinterpret_cast<uintptr_t>(row) % 16 != 0) block.fail("misaligned row of ldmatrix", pc);
    auto* at = static_cast<const char*>(row);
    if (at < block.arena || at >= block.arena + Block::kArena)
        block.fail("ldmatrix of memory that is not shared", pc);
    memory_access(row, 16, Kind::kRead, pc);
    Matrices mine{row, transposed};
    block.meet(&do_ldmatrix, ~0u, site, &mine, out);
}

float atomic_add(float* at, float value) {
    return atomically(at, [=](float x) { return x + value; });
}
int atomic_add(int* at, int value) {
    return atomically(at, [=](int x) { return x + value; });
}
int atomic_max(int* at, int value) {
    return atomically(at, [=](int x) { return std::max(x, value); });
}

}  // namespace sim
