// From 256 logits to one byte, by one warp (lane = threadIdx.x): the byte that engine/src/infer/sampling.cpp
// samples from the same logits, options and seed. All is double, and sums go in that file's order.
#pragma once
#include "device_math.h"
#include "host_device/exp.h"
#include "host_device/text_rules.h"
#include "infer_model.h"

constexpr int kBytes = 256, kEach = kBytes / kWarp;  // byte `lane + 32 i` is the lane's number i
constexpr double kRounding = 1e-12;

// sampling.cpp's: e^x for x <= 0, 0 where it would be subnormal.
__device__ __forceinline__ double portable_exp(double x) {
    return x < plm::kLowestExp ? 0.0 : plm::exp_in_range(x);
}

// e^x as vector_ops.inc has it for the cost of a byte
__device__ __forceinline__ double exp_f64(double x) {
    constexpr double kRound = 6755399441055744.0;
    const double shifted = x * 1.4426950408889634 + kRound, k = shifted - kRound;
    const double r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
    double p = 1.0 / 3628800;
    p = p * r + 1.0 / 362880;
    p = p * r + 1.0 / 40320;
    p = p * r + 1.0 / 5040;
    p = p * r + 1.0 / 720;
    p = p * r + 1.0 / 120;
    p = p * r + 1.0 / 24;
    p = p * r + 1.0 / 6;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    const auto exponent = static_cast<unsigned long long>(__double_as_longlong(shifted)) << 52;
    return __longlong_as_double(
        static_cast<long long>(static_cast<unsigned long long>(__double_as_longlong(p)) + exponent));
}

__device__ __forceinline__ Cost cost_of(const float* logits, int byte) {
    const int lane = static_cast<int>(threadIdx.x);
    const unsigned all = 0xFFFFFFFFu;
    float highest = -INFINITY;
    for (int i = 0; i < kEach; ++i) highest = fmaxf(highest, logits[lane + kWarp * i]);
    highest = warp_max(highest);
    double sum = 0.0;
    for (int i = 0; i < kEach; ++i) {
        const double term =
            exp_f64(static_cast<double>(fmaxf(logits[lane + kWarp * i], highest - 600.0f)) - highest);
        const double other = __shfl_sync(all, term, (lane + 16) % kWarp);  // of the same lane of sixteen
        sum = (sum + term) + other;
    }
    sum += __shfl_sync(all, sum, (lane + 8) % kWarp);
    sum += __shfl_sync(all, sum, (lane + 4) % kWarp);
    const double pairs = sum + __shfl_sync(all, sum, (lane + 2) % kWarp);
    return {__shfl_sync(all, pairs, 0) + __shfl_sync(all, pairs, 1),
            static_cast<double>(highest) - static_cast<double>(logits[byte])};
}

// SplitMix64, uniform in [0, 1)
__device__ __forceinline__ double uniform(unsigned long long* state) {
    unsigned long long z = (*state += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return static_cast<double>((z ^ (z >> 31)) >> 11) * (1.0 / 9007199254740992.0);
}

// The candidates of a lane: logits relative to the likeliest of all, weights exp(logit), and which are kept.
struct Candidates {
    double logit[kEach], weight[kEach];
    bool in[kEach];

    // space[n] = value(i) for the n-th candidate of all, in the order of bytes; returns how many they are.
    template <class Value>
    __device__ int gather(double* space, Value&& value) const {
        const int lane = static_cast<int>(threadIdx.x);
        int count = 0;
        __syncwarp();
#pragma unroll
        for (int i = 0; i < kEach; ++i) {
            const unsigned who = __ballot_sync(0xFFFFFFFFu, in[i]);
            if (in[i]) space[count + __popc(who & ((1u << lane) - 1u))] = value(i);
            count += __popc(who);
        }
        __syncwarp();
        return count;
    }

    // The byte that the n-th candidate is.
    __device__ int byte_of(int n) const {
        const int lane = static_cast<int>(threadIdx.x);
        int count = 0, found = 0;
#pragma unroll
        for (int i = 0; i < kEach; ++i) {
            const unsigned who = __ballot_sync(0xFFFFFFFFu, in[i]);
            const bool mine = in[i] && count + __popc(who & ((1u << lane) - 1u)) == n;
            const unsigned owner = __ballot_sync(0xFFFFFFFFu, mine);
            if (owner) found = kWarp * i + __popc(owner - 1u);
            count += __popc(who);
        }
        return found;
    }
};

// Sums of softmax() in sampling.cpp: four lanes side by side, then these.
__device__ __forceinline__ double sum_in_four(const double* terms, int count) {
    const int lane = static_cast<int>(threadIdx.x);
    double sum = 0.0;
    for (int i = lane % 4; i < count; i += 4) sum += terms[i];
    const double pair = sum + __shfl_xor_sync(0xFFFFFFFFu, sum, 1);
    return __shfl_sync(0xFFFFFFFFu, pair, 0) + __shfl_sync(0xFFFFFFFFu, pair, 2);
}

// A candidate in a reduction to the lowest key, then the lowest byte. Keys are not negative, so that their
// bits compare like the numbers.
struct Contender {
    long long key;
    int byte;
    double weight;
    __device__ bool beats(const Contender& o) const { return key < o.key || (key == o.key && byte < o.byte); }
};

// The best of those who are in and not out, in every lane.
template <class Key>
__device__ __forceinline__ Contender best_of(const Candidates& c, const bool (&out)[kEach], Key&& key) {
    const int lane = static_cast<int>(threadIdx.x);
    Contender best{0x7FFFFFFFFFFFFFFFll, kBytes, 0.0};
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
        Contender one{__double_as_longlong(key(c.logit[i])), lane + kWarp * i, c.weight[i]};
        if (c.in[i] && !out[i] && one.beats(best)) best = one;
    }
    for (int step = kWarp / 2; step > 0; step /= 2) {
        Contender one{__shfl_xor_sync(0xFFFFFFFFu, best.key, step),
                      __shfl_xor_sync(0xFFFFFFFFu, best.byte, step),
                      __shfl_xor_sync(0xFFFFFFFFu, best.weight, step)};
        if (one.beats(best)) best = one;
    }
    return best;
}

// Only the best stay in: one after the other, until they are `most` or their weights reach `mass`.
template <class Key>
__device__ __forceinline__ void keep_best(Candidates& c, int most, double mass, Key&& key) {
    bool taken[kEach] = {};
    double sum = 0.0;
    for (int n = 0; n < most && sum < mass; ++n) {
        const Contender best = best_of(c, taken, key);
        if (best.byte == kBytes) break;
        sum += best.weight;
#pragma unroll
        for (int i = 0; i < kEach; ++i)
            taken[i] = taken[i] || best.byte == static_cast<int>(threadIdx.x) + kWarp * i;
    }
#pragma unroll
    for (int i = 0; i < kEach; ++i) c.in[i] = c.in[i] && taken[i];
}

// x as not negative: -0 would not compare as bits do
__device__ __forceinline__ double magnitude_of(double x) {
    return x < 0.0 ? -x : 0.0 + x;
}

// keep() of sampling.cpp
__device__ __forceinline__ void keep(Candidates& c, int method, double amount, double total, double mean) {
    const auto likelier = [](double logit) { return magnitude_of(logit); };
    const double mass = amount * total * (1.0 - kRounding), all = INFINITY;
    if (method == kTopE) {
        double wanted = ceil(amount * total / portable_exp(mean) * (1.0 - kRounding));
        keep_best(c, static_cast<int>(wanted < 1.0 ? 1.0 : wanted > 256.0 ? 256.0 : wanted), all, likelier);
    } else if (method == kTopP) {
        keep_best(c, kBytes, mass, likelier);
    } else if (method == kTopK) {
        keep_best(c, static_cast<int>(amount < 256.0 ? amount : 256.0), all, likelier);
    } else if (method == kTypical) {
        keep_best(c, kBytes, mass, [&](double logit) { return magnitude_of(logit - mean); });
    } else if (method == kMinP) {
#pragma unroll
        for (int i = 0; i < kEach; ++i) c.in[i] = c.in[i] && c.weight[i] >= amount * (1.0 - kRounding);
    } else {
        keep_best(c, 1, all, likelier);
    }
}

// temper() of sampling.cpp: weights at the temperature, relative to the best that is left.
__device__ __forceinline__ void temper(Candidates& c, double temperature) {
    const bool none[kEach] = {};
    const Contender best = best_of(c, none, [](double logit) { return magnitude_of(logit); });
    const double highest = -__longlong_as_double(best.key);
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
        if (!c.in[i]) continue;
        const bool is_best = best.byte == static_cast<int>(threadIdx.x) + kWarp * i;
        c.weight[i] =
            temperature == 0.0 ? (is_best ? 1.0 : 0.0) : portable_exp((c.logit[i] - highest) / temperature);
    }
}

// subtract_uniform() of sampling.cpp
__device__ __forceinline__ void subtract_uniform(Candidates& c, double total) {
    bool left[kEach], any = false;
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
        left[i] = c.in[i] && c.weight[i] - total / 256 > kRounding * total;
        any = any || left[i];
    }
    if (__ballot_sync(0xFFFFFFFFu, any) == 0) return;
#pragma unroll
    for (int i = 0; i < kEach; ++i) c.in[i] = left[i], c.weight[i] -= total / 256;
}

// The logits as the sampler sees them; false where one is not finite. `penalties` (256), or nullptr, are
// taken away: those of wyGPT's sampler.
__device__ __forceinline__ bool read_logits(Candidates& c, const Sampling& s, const float* logits,
                                            const Repeat* repeats, const double* penalties) {
    const int lane = static_cast<int>(threadIdx.x);
    int match[kEach] = {};
    for (int r = 0; r < s.repeats; ++r) {
        const Repeat& repeat = repeats[r];
        bool begins = repeat.size > s.pending_size;
        for (int i = 0; i < s.pending_size; ++i) begins = begins && repeat.bytes[i] == s.pending[i];
        if (!begins) continue;
        const int next = repeat.bytes[s.pending_size];
#pragma unroll
        for (int i = 0; i < kEach; ++i)
            if (next == lane + kWarp * i) match[i] = max(match[i], repeat.match);
    }
    bool finite = true;
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
        const int b = lane + kWarp * i;
        finite = finite && fabsf(logits[b]) < INFINITY;
        c.logit[i] = static_cast<double>(logits[b]) - match[i] * s.log_penalty;
        if (penalties) c.logit[i] -= penalties[b];
        if (s.method == kWygpt && s.temperature > 0.0) c.logit[i] /= s.temperature;
        c.in[i] = plm::is_allowed(s.pending, s.pending_size, s.end_allowed != 0, static_cast<uint8_t>(b));
    }
    return __ballot_sync(0xFFFFFFFFu, !finite) == 0;
}

// The next byte of a text, or -1 for logits that are not finite. space (256); `generator` moves on, in every
// lane alike.
__device__ __forceinline__ int draw_byte(double* space, unsigned long long* generator, const Sampling& s,
                                         const float* logits, const Repeat* repeats,
                                         const double* penalties) {
    Candidates c;
    if (!read_logits(c, s, logits, repeats, penalties)) return -1;
    double highest = -INFINITY;
#pragma unroll
    for (int i = 0; i < kEach; ++i)
        if (c.in[i] && c.logit[i] > highest) highest = c.logit[i];
    for (int step = kWarp / 2; step > 0; step /= 2) {
        const double other = __shfl_xor_sync(0xFFFFFFFFu, highest, step);
        highest = other > highest ? other : highest;
    }
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
        c.logit[i] = c.in[i] ? c.logit[i] - highest : -INFINITY;
        c.weight[i] = portable_exp(c.logit[i]);
    }
    int count = c.gather(space, [&](int i) { return c.weight[i]; });
    const double total = sum_in_four(space, count);
    count = c.gather(space, [&](int i) { return c.weight[i] * c.logit[i]; });
    const double mean = sum_in_four(space, count) / total;
    if (s.method == kWygpt && s.temperature > 0.0) {
        subtract_uniform(c, total);
    } else {
        keep(c, s.method, s.amount, total, mean);
        temper(c, s.temperature);
    }
    count = c.gather(space, [&](int i) { return c.weight[i]; });
    double sum = 0.0;
    for (int i = 0; i < count; ++i) sum += space[i];
    const double point = s.method == kGreedy ? 0.0 : uniform(generator) * sum;
    int chosen = 0;
    sum = 0.0;
    for (int i = 0; i < count; ++i) {
        if (space[i] == 0.0) continue;
        chosen = i;
        sum += space[i];
        if (point < sum) break;
    }
    return c.byte_of(chosen);
}
