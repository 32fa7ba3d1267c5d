// The arithmetic of inference, the same to the last bit as engine/src/infer/vector_ops.inc: a conversation
// may move between processors and devices. It depends on -fmad=false (no fused products but where fmaf says
// so) and on sums in the order of sixteen lanes. The names are those of vector_ops.inc.
#pragma once
#include "device_math.h"

// e^-x as 2^k * 2^f; k is clamped to +-58.
__device__ __forceinline__ float exp_minus(float x) {
    constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number, ties to even
    constexpr int kRoundBits = 0x4B400000;
    const float t = x * -1.44269504088896341f, shifted = t + kRound, f = t - (shifted - kRound);
    int k = __float_as_int(shifted);
    k = min(max(k, kRoundBits - 58), kRoundBits + 58);
    float p = 0.0013264727f;
    p = p * f + 0.009671513f;
    p = p * f + 0.055507336f;
    p = p * f + 0.24022242f;
    p = p * f + 0.693147f;
    p = p * f + 1.0f;
    return __int_as_float(
        static_cast<int>(static_cast<unsigned>(__float_as_int(p)) + (static_cast<unsigned>(k) << 23)));
}

__device__ __forceinline__ void sigmoids(float* a, float* b) {
    const float da = 1.0f + exp_minus(*a), db = 1.0f + exp_minus(*b), inverse = 1.0f / (da * db);
    *a = inverse * db;
    *b = inverse * da;
}

__device__ __forceinline__ float dequantized(int sum, float inp, float weight) {
    return static_cast<float>(sum) * (inp * weight);
}

__device__ __forceinline__ int magnitude(float x) {
    return __float_as_int(x) & 0x7FFFFFFF;
}

// Histories are bf16, in snapshots too: the upper half of a float, to the nearest, ties to even.
__device__ __forceinline__ uint16_t to_bf16(float x) {
    const unsigned bits = static_cast<unsigned>(__float_as_int(x));
    return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

__device__ __forceinline__ float from_bf16(uint16_t x) {
    return __int_as_float(static_cast<int>(static_cast<unsigned>(x) << 16));
}

// The largest magnitude over a warp, as the integer that its bits are.
__device__ __forceinline__ int warp_largest(int bits) {
    for (int step = kWarp / 2; step > 0; step /= 2)
        bits = max(bits, __shfl_xor_sync(0xFFFFFFFFu, bits, step));
    return bits;
}

// x / (largest / 127), ties to even.
struct Quantizer {
    float inverse, scale;
    __device__ explicit Quantizer(int largest_bits) {
        const float largest = __int_as_float(largest_bits);
        bool nothing = largest < 1e-30f;
        inverse = nothing ? 0.0f : 127.0f / largest;
        scale = nothing ? 0.0f : largest / 127.0f;
    }
    __device__ int8_t operator()(float x) const {
        return static_cast<int8_t>(__float_as_int(x * inverse + 12582912.0f) & 0xFF);
    }
};

// The sum of lanes 0 to 15 in vector_ops.inc's order, the same in every lane.
__device__ __forceinline__ float sum_lanes(float sum) {
    int lane = static_cast<int>(threadIdx.x);
    const unsigned all = 0xFFFFFFFFu;
    sum += __shfl_sync(all, sum, (lane + 8) % kWarp);
    sum += __shfl_sync(all, sum, (lane + 4) % kWarp);
    sum += __shfl_sync(all, sum, (lane + 2) % kWarp);
    return __shfl_sync(all, sum, 0) + __shfl_sync(all, sum, 1);
}

// 1 / sqrt(mean(x^2) + 1e-5), n a multiple of 16, by one warp: lanes 0 to 15 keep the sums of
// vector_ops.inc.
__device__ __forceinline__ float inverse_rms(const float* x, int n) {
    int lane = static_cast<int>(threadIdx.x);
    float sum = 0;
    if (lane < 16) {
        for (int i = lane; i < n; i += 16) sum += x[i] * x[i];
    }
    return 1.0f / sqrtf(sum_lanes(sum) / static_cast<float>(n) + 1e-5f);
}
