// The float work between the int8 products of inference, one row by one warp (lane = threadIdx.x), each
// ending in an int8 row and its scale. Definition, to the last bit: engine/src/infer/vector_ops.inc.
// trunk_step.cu and head_step.cu call them one after the other. Rows may lie in global or shared memory.
#pragma once
#include "infer_math.h"

// The row comes out of `value(i)` twice, which must give the same both times: once for its largest magnitude,
// once to be quantised.
template <class Value>
__device__ __forceinline__ void quantize_values(int8_t* quantized, float* scale, int n, Value&& value) {
    int lane = static_cast<int>(threadIdx.x), largest = 0;
    for (int i = lane; i < n; i += kWarp) largest = max(largest, magnitude(value(i)));
    Quantizer to(warp_largest(largest));
    for (int i = lane; i < n; i += kWarp) quantized[i] = to(value(i));
    if (lane == 0) *scale = to.scale;
}

__device__ __forceinline__ void norm_quantize_row(int8_t* quantized, float* scale, const float* x,
                                                  const float* gain, int n) {
    const float inverse = inverse_rms(x, n);
    quantize_values(quantized, scale, n, [&](int i) { return x[i] * inverse * gain[i]; });
}

// A lane reads and writes its own channels alone, so the history can move on in place, after both uses.
__device__ __forceinline__ void norm_conv_quantize_row(int8_t* quantized, float* scale, uint16_t* history,
                                                       const float* x, const float* gain, const float* taps,
                                                       int n) {
    uint16_t *older = history, *newer = history + n;
    const float inverse = inverse_rms(x, n);
    quantize_values(quantized, scale, n, [&](int i) {
        const float now = x[i] * inverse * gain[i];
        return taps[i] * from_bf16(older[i]) + taps[n + i] * from_bf16(newer[i]) + taps[2 * n + i] * now;
    });
    for (int i = static_cast<int>(threadIdx.x); i < n; i += kWarp) {
        older[i] = newer[i];
        newer[i] = to_bf16(x[i] * inverse * gain[i]);
    }
}

// What turns the sums of a product's row into floats: sums[i] * (inp * weights[i]).
struct Sums {
    const int* sums;
    const float* weights;
    float inp;
    __device__ float operator[](int i) const { return dequantized(sums[i], inp, weights[i]); }
};

// s = [f; v; o]; `row` is space for n numbers
__device__ __forceinline__ void recurrence_quantize_row(int8_t* quantized, float* scale, float* state,
                                                        float* row, const Sums& s, const float* bias, int n) {
    for (int i = static_cast<int>(threadIdx.x); i < n; i += kWarp) {
        const float value = s[n + i], out = s[2 * n + i];
        float keep = s[i] + bias[i], gate = out;
        sigmoids(&keep, &gate);
        const float next = keep * state[i] + (1.0f - keep) * value;
        state[i] = next;
        row[i] = next * (out * gate);
    }
    quantize_values(quantized, scale, n, [&](int i) { return row[i]; });
}

// s = [gate; up]. Gates go in pairs (i, n / 2 + i) through one division, so a lane takes both.
__device__ __forceinline__ void swiglu_quantize_row(int8_t* quantized, float* scale, float* row,
                                                    const Sums& s, int n) {
    const int half = n / 2;
    for (int i = static_cast<int>(threadIdx.x); i < half; i += kWarp) {
        const int j = half + i;
        const float a = s[i], b = s[j];
        float gate_a = a, gate_b = b;
        sigmoids(&gate_a, &gate_b);
        row[i] = a * gate_a * s[n + i];
        row[j] = b * gate_b * s[n + j];
    }
    __syncwarp();  // a row's numbers are not those that the same lane wrote
    quantize_values(quantized, scale, n, [&](int i) { return row[i]; });
}
