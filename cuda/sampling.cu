// From 256 logits to one byte: the same byte as engine/src/infer/sampling.cpp draws from the same logits and
// seed. So sums go in the order of the bytes, in double, by one thread; what has no order is done by 256.
#include "launch.h"

namespace {

constexpr int kBytes = 256;
constexpr double kRounding = 1e-12;

// Nothing but the constants of sampling.cpp's portable_exp: e^x for x <= 0, 0 where it would be subnormal.
__device__ double portable_exp(double x) {
    constexpr double kInverseFactorial[] = {1.0,
                                            1.0,
                                            1.0 / 2,
                                            1.0 / 6,
                                            1.0 / 24,
                                            1.0 / 120,
                                            1.0 / 720,
                                            1.0 / 5040,
                                            1.0 / 40320,
                                            1.0 / 362880,
                                            1.0 / 3628800,
                                            1.0 / 39916800,
                                            1.0 / 479001600,
                                            1.0 / 6227020800};
    constexpr double kRound = 6755399441055744.0;
    if (x < -708.0) return 0.0;
    const double rounded = x * 1.4426950408889634 + kRound, k = rounded - kRound;
    const double r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
    double sum = kInverseFactorial[13];
#pragma unroll
    for (int j = 12; j >= 0; --j) sum = sum * r + kInverseFactorial[j];
    const auto bits = static_cast<unsigned long long>(__double_as_longlong(rounded));
    return sum * __longlong_as_double(static_cast<long long>((bits << 52) + 0x3FF0000000000000u));
}

__device__ int sequence_length(int lead) {
    return lead >= 0xC2 && lead <= 0xDF   ? 2
           : lead >= 0xE0 && lead <= 0xEF ? 3
           : lead >= 0xF0 && lead <= 0xF4 ? 4
                                          : 1;
}

__device__ bool continues(int lead, int position, int byte) {
    int first = 0x80, last = 0xBF;
    if (position == 1) {
        if (lead == 0xE0) first = 0xA0;
        if (lead == 0xED) last = 0x9F;
        if (lead == 0xF0) first = 0x90;
        if (lead == 0xF4) last = 0x8F;
    }
    return byte >= first && byte <= last;
}

// allowed_bytes of engine/src/infer/utf8.h, for one byte
__device__ bool allowed(const unsigned char* pending, int size, bool end_allowed, int byte) {
    if (size == 0) {
        if (byte == 0xFF) return end_allowed;
        if (byte == '\n' || byte == '\t') return true;
        return byte >= 0x20 && byte <= 0xF4 && (byte < 0x7F || sequence_length(byte) > 1);
    }
    bool noncharacter = size == 2 && pending[0] == 0xEF && pending[1] == 0xBF && byte >= 0xBE;
    return continues(pending[0], size, byte) && !noncharacter;
}

// SplitMix64, uniform in [0, 1)
__device__ double uniform(unsigned long long* state) {
    unsigned long long z = (*state += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return static_cast<double>((z ^ (z >> 31)) >> 11) * (1.0 / 9007199254740992.0);
}

// In the order of Keep in sampling.h, as far as they are here
enum Keep { kGreedy = 0, kTopE = 1, kTopP = 2, kTopK = 3, kMinP = 4 };

struct Row {
    double logit[kBytes], weight[kBytes];
    int byte_at[kBytes];  // by rank, the likeliest first
    bool in[kBytes];      // allowed, then kept
    double highest, total, mean;
    int count, kept;
};

// How many of the likeliest stay.
__device__ int keep(const Row& row, int method, double amount) {
    double mass = amount * row.total * (1.0 - kRounding), sum = 0.0;
    int taken = 0;
    switch (method) {
        case kTopE: {
            double wanted = ceil(amount * row.total / portable_exp(row.mean) * (1.0 - kRounding));
            wanted = wanted < 1.0 ? 1.0 : wanted > 256.0 ? 256.0 : wanted;
            return min(static_cast<int>(wanted), row.count);
        }
        case kTopP:
            while (taken < row.count && sum < mass) sum += row.weight[row.byte_at[taken++]];
            return taken;
        case kTopK:
            return min(static_cast<int>(amount < 256.0 ? amount : 256.0), row.count);
        case kMinP:
            while (taken < row.count && row.weight[row.byte_at[taken]] >= amount * (1.0 - kRounding)) ++taken;
            return taken;
        default:
            return 1;
    }
}

__device__ void sum_up(Row& row) {
    row.total = 0.0, row.mean = 0.0, row.count = 0;
    for (int b = 0; b < kBytes; ++b) {
        if (!row.in[b]) continue;
        ++row.count;
        row.total += row.weight[b];
        row.mean += row.weight[b] * row.logit[b];
    }
    row.mean /= row.total;
}

__device__ int draw(const Row& row, double point) {
    double sum = 0.0;
    int chosen = -1;
    for (int b = 0; b < kBytes; ++b) {
        if (!row.in[b] || row.weight[b] == 0.0) continue;
        chosen = b;
        sum += row.weight[b];
        if (point < sum) break;
    }
    return chosen;
}

__global__ void __launch_bounds__(kBytes)
    sample_kernel(unsigned char* bytes, unsigned long long* states, const float* logits,
                  const unsigned char* pending, const int* pending_sizes, const unsigned char* ends,
                  int method, double amount, double temperature) {
    SHARED(Row, rows, [1]);
    Row& row = rows[0];
    int m = static_cast<int>(blockIdx.x), b = static_cast<int>(threadIdx.x);
    row.logit[b] = logits[static_cast<size_t>(m) * kBytes + b];
    row.in[b] = allowed(pending + 4 * m, pending_sizes[m], ends[m] != 0, b);
    __syncthreads();
    if (b == 0) {
        row.highest = -INFINITY;
        for (int i = 0; i < kBytes; ++i)
            if (row.in[i] && row.logit[i] > row.highest) row.highest = row.logit[i];
    }
    __syncthreads();
    row.logit[b] -= row.highest;
    row.weight[b] = row.in[b] ? portable_exp(row.logit[b]) : 0.0;
    __syncthreads();
    int rank = 0;
    if (row.in[b]) {
        for (int i = 0; i < kBytes; ++i)
            rank += row.in[i] && (row.logit[i] > row.logit[b] || (row.logit[i] == row.logit[b] && i < b));
        row.byte_at[rank] = b;
    }
    __syncthreads();
    if (b == 0) {
        sum_up(row);
        row.kept = keep(row, method, amount);
    }
    __syncthreads();
    row.in[b] = row.in[b] && rank < row.kept;
    // The likeliest is always kept, so that logits are relative to the best kept already.
    row.weight[b] = temperature == 0.0 ? (rank == 0 ? 1.0 : 0.0)
                    : row.in[b]        ? portable_exp(row.logit[b] / temperature)
                                       : 0.0;
    __syncthreads();
    if (b != 0) return;
    sum_up(row);
    unsigned long long state = states[m];
    double point = method == kGreedy ? 0.0 : uniform(&state) * row.total;
    bytes[m] = static_cast<unsigned char>(draw(row, point));
    states[m] = state;
}

}  // namespace

// bytes (M) out; states (M) of the generators move on; logits (M, 256); pending (M, 4) bytes of the open
// character, pending_sizes (M); ends (M): whether the end mark may be drawn. method: 0 greedy, 1 Top-E, 2
// top-p, 3 top-k, 4 min-p.
PLM_API sample(unsigned char* bytes, unsigned long long* states, const float* logits,
               const unsigned char* pending, const int* pending_sizes, const unsigned char* ends, int M,
               int method, double amount, double temperature, cudaStream_t stream) {
    return launch(sample_kernel, M, kBytes, 0, stream, bytes, states, logits, pending, pending_sizes, ends,
                  method, amount, temperature);
}
