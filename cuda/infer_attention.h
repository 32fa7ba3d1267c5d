// Attention of one character over its text's ring, by one warp. Definition, to the last bit:
// attention_quantize of engine/src/infer/vector_ops.inc.
#pragma once
#include "infer_rows.h"

// As in engine/src/infer/vector_ops.h: keys [d][W], values [W][d], each character's with a scale in bf16.
struct Ring {
    int8_t *keys, *values;
    uint16_t *key_scales, *value_scales;
    int W, now;  // characters, and where the one being read goes
};

// Numbers of one character into a ring, `step` apart; `stored` gets their scale.
__device__ __forceinline__ void keep_row(int8_t* to, uint16_t* stored, const float* x, int n, int step) {
    int lane = static_cast<int>(threadIdx.x), bits = 0;
    for (int i = lane; i < n; i += kWarp) bits = max(bits, magnitude(x[i]));
    const float largest = __int_as_float(warp_largest(bits));
    const uint16_t rounded = largest < 1e-30f ? uint16_t{0} : to_bf16(largest / 127.0f);
    const float scale = from_bf16(rounded), inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
    for (int i = lane; i < n; i += kWarp)
        to[i * step] = static_cast<int8_t>(__float_as_int(x[i] * inverse + 12582912.0f) & 0xFF);
    if (lane == 0) *stored = rounded;
}

// sums[e] += weight(r) * the e-th of four int8 numbers side by side at rows[r * stride], over r < n in order
template <class Weight>
__device__ __forceinline__ void add_products(float (&sums)[4], const int8_t* rows, int n, int stride,
                                             Weight&& weight) {
#pragma unroll 8
    for (int r = 0; r < n; ++r) {
        const uint32_t four = *reinterpret_cast<const uint32_t*>(rows + r * stride);
        const float w = weight(r);
#pragma unroll
        for (int e = 0; e < 4; ++e) sums[e] += w * static_cast<float>(static_cast<int8_t>(four >> (8 * e)));
    }
}

// Scores of a head to their softmax, each times the scale of its value.
__device__ __forceinline__ void weigh_row(float* weights, const Ring& r, const float* bias) {
    int lane = static_cast<int>(threadIdx.x);
    float top = -INFINITY;
    for (int j = lane; j < r.W; j += kWarp) {
        const int age = j > r.now ? j - r.now - 1 : j + r.W - r.now - 1;  // the oldest has 0
        weights[j] = weights[j] * from_bf16(r.key_scales[j]) + bias[age];
        top = fmaxf(top, weights[j]);
    }
    top = warp_max(top);
    for (int j = lane; j < r.W; j += kWarp) weights[j] = exp_minus(top - weights[j]);
    __syncwarp();
    float sum = 0;
    for (int j = lane; lane < 16 && j < r.W; j += 16) sum += weights[j];
    const float inverse = 1.0f / sum_lanes(sum);
    __syncwarp();
    for (int j = lane; j < r.W; j += kWarp) weights[j] *= from_bf16(r.value_scales[j]) * inverse;
}

// s = [q of each head; k; v]. `row` is space for (heads + 2) d + heads W numbers, of which s may be the
// first.
__device__ __forceinline__ void attention_quantize_row(int8_t* quantized, float* scale, float* row,
                                                       const Ring& r, const Sums& s, const float* bias,
                                                       int heads, int d) {
    const int lane = static_cast<int>(threadIdx.x), all = heads * d;
    const float shrink = 1.0f / sqrtf(static_cast<float>(d));
    for (int i = lane; i < all; i += kWarp) row[i] = s[i] * shrink;
    for (int i = all + lane; i < all + 2 * d; i += kWarp) row[i] = s[i];
    __syncwarp();
    keep_row(r.keys + r.now, r.key_scales + r.now, row + all, d, r.W);
    keep_row(r.values + r.now * d, r.value_scales + r.now, row + all + d, d, 1);
    __syncwarp();
    float* weights = row + all + 2 * d;
    for (int at = 4 * lane; at < heads * r.W; at += 4 * kWarp) {
        float sums[4] = {};
        const float* query = row + at / r.W * d;
        add_products(sums, r.keys + at % r.W, d, r.W, [&](int i) { return query[i]; });
        for (int e = 0; e < 4; ++e) weights[at + e] = sums[e];
    }
    __syncwarp();
    for (int h = 0; h < heads; ++h) weigh_row(weights + h * r.W, r, bias + h * r.W);
    __syncwarp();
    for (int at = 4 * lane; at < all; at += 4 * kWarp) {
        float sums[4] = {};
        const float* weight = weights + at / d * r.W;
        add_products(sums, r.values + at % d, r.W, d, [&](int j) { return weight[j]; });
        for (int e = 0; e < 4; ++e) row[at + e] = sums[e];
    }
    __syncwarp();
    quantize_values(quantized, scale, all, [&](int i) { return row[i]; });
}
