// The float work between the int8 products of inference, fused row by row, each ending in an int8 row and its
// scale. Definition, to the last bit: engine/src/infer/elementwise.inc. A warp takes a row of the batch.
#include "infer_math.h"

namespace {

constexpr int kWarps = 4;

__device__ __forceinline__ int row_of() {
    return static_cast<int>(blockIdx.x * kWarps + threadIdx.y);
}

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

__global__ void quantize_row_kernel(int8_t* quantized, float* scales, const float* inp, int M, int n) {
    int m = row_of();
    if (m >= M) return;
    const float* x = inp + static_cast<size_t>(m) * n;
    quantize_values(quantized + static_cast<size_t>(m) * n, scales + m, n, [&](int i) { return x[i]; });
}

__global__ void norm_quantize_kernel(int8_t* quantized, float* scales, const float* inp, const float* gain,
                                     int M, int n) {
    int m = row_of();
    if (m >= M) return;
    const float* x = inp + static_cast<size_t>(m) * n;
    const float inverse = inverse_rms(x, n);
    quantize_values(quantized + static_cast<size_t>(m) * n, scales + m, n,
                    [&](int i) { return x[i] * inverse * gain[i]; });
}

// A lane reads and writes its own channels alone, so the history can move on in place, after both uses.
__global__ void norm_conv_quantize_kernel(int8_t* quantized, float* scales, float* histories,
                                          const float* inp, const float* gain, const float* taps, int M,
                                          int n) {
    int m = row_of();
    if (m >= M) return;
    const float* x = inp + static_cast<size_t>(m) * n;
    float *older = histories + static_cast<size_t>(m) * 2 * n, *newer = older + n;
    const float inverse = inverse_rms(x, n);
    quantize_values(quantized + static_cast<size_t>(m) * n, scales + m, n, [&](int i) {
        const float now = x[i] * inverse * gain[i];
        return taps[i] * older[i] + taps[n + i] * newer[i] + taps[2 * n + i] * now;
    });
    for (int i = static_cast<int>(threadIdx.x); i < n; i += kWarp) {
        older[i] = newer[i];
        newer[i] = to_bf16(x[i] * inverse * gain[i]);
    }
}

__global__ void recurrence_quantize_kernel(int8_t* quantized, float* scales, float* states, float* rows,
                                           const int* sums, const float* inp_scales,
                                           const float* weight_scales, const float* bias, int M, int n) {
    int m = row_of();
    if (m >= M) return;
    const int* s = sums + static_cast<size_t>(m) * 3 * n;
    const float inp = inp_scales[m];
    float *state = states + static_cast<size_t>(m) * n, *row = rows + static_cast<size_t>(m) * n;
    for (int i = static_cast<int>(threadIdx.x); i < n; i += kWarp) {
        const float value = dequantized(s[n + i], inp, weight_scales[n + i]);
        const float out = dequantized(s[2 * n + i], inp, weight_scales[2 * n + i]);
        float keep = dequantized(s[i], inp, weight_scales[i]) + bias[i], gate = out;
        sigmoids(&keep, &gate);
        const float next = keep * state[i] + (1.0f - keep) * value;
        state[i] = next;
        row[i] = next * (out * gate);
    }
    quantize_values(quantized + static_cast<size_t>(m) * n, scales + m, n, [&](int i) { return row[i]; });
}

// Gates go in pairs (i, n / 2 + i) through one division, so a lane takes both.
__global__ void swiglu_quantize_kernel(int8_t* quantized, float* scales, float* rows, const int* sums,
                                       const float* inp_scales, const float* weight_scales, int M, int n) {
    int m = row_of(), half = n / 2;
    if (m >= M) return;
    const int* s = sums + static_cast<size_t>(m) * 2 * n;
    const float inp = inp_scales[m];
    float* row = rows + static_cast<size_t>(m) * n;
    for (int i = static_cast<int>(threadIdx.x); i < half; i += kWarp) {
        const int j = half + i;
        const float a = dequantized(s[i], inp, weight_scales[i]),
                    b = dequantized(s[j], inp, weight_scales[j]);
        float gate_a = a, gate_b = b;
        sigmoids(&gate_a, &gate_b);
        row[i] = a * gate_a * dequantized(s[n + i], inp, weight_scales[n + i]);
        row[j] = b * gate_b * dequantized(s[n + j], inp, weight_scales[n + j]);
    }
    __syncwarp();  // a row's numbers are not those that the same lane wrote
    quantize_values(quantized + static_cast<size_t>(m) * n, scales + m, n, [&](int i) { return row[i]; });
}

constexpr int kThreads = 256;

__global__ void dequantize_kernel(float* out, const int* sums, const float* inp_scales,
                                  const float* weight_scales, int M, int n, bool accumulate) {
    int at = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
    if (at >= M * n) return;
    const float x = dequantized(sums[at], inp_scales[at / n], weight_scales[at % n]);
    out[at] = accumulate ? out[at] + x : x;
}

dim3 warps_block() {
    return dim3(kWarp, kWarps);
}

}  // namespace

// quantized, inp (M, n), scales (M)
PLM_API quantize_row(int8_t* quantized, float* scales, const float* inp, int M, int n, cudaStream_t stream) {
    return launch(quantize_row_kernel, ceil_div(M, kWarps), warps_block(), 0, stream, quantized, scales, inp,
                  M, n);
}

// The int8 row of rmsnorm(inp; gain); n a multiple of 16
PLM_API norm_quantize(int8_t* quantized, float* scales, const float* inp, const float* gain, int M, int n,
                      cudaStream_t stream) {
    return launch(norm_quantize_kernel, ceil_div(M, kWarps), warps_block(), 0, stream, quantized, scales, inp,
                  gain, M, n);
}

// With the convolution over this and the two rows before: histories (M, 2, n), older first, move on; taps (3,
// n)
PLM_API norm_conv_quantize(int8_t* quantized, float* scales, float* histories, const float* inp,
                           const float* gain, const float* taps, int M, int n, cudaStream_t stream) {
    return launch(norm_conv_quantize_kernel, ceil_div(M, kWarps), warps_block(), 0, stream, quantized, scales,
                  histories, inp, gain, taps, M, n);
}

// sums (M, 3 n) = [f; v; o] of `in`, with the scales of its input rows (M) and weight rows (3 n); states (M,
// n) move on; rows (M, n) is space
PLM_API recurrence_quantize(int8_t* quantized, float* scales, float* states, float* rows, const int* sums,
                            const float* inp_scales, const float* weight_scales, const float* bias, int M,
                            int n, cudaStream_t stream) {
    return launch(recurrence_quantize_kernel, ceil_div(M, kWarps), warps_block(), 0, stream, quantized,
                  scales, states, rows, sums, inp_scales, weight_scales, bias, M, n);
}

// sums (M, 2 n) = [gate; up]; rows (M, n) is space
PLM_API swiglu_quantize(int8_t* quantized, float* scales, float* rows, const int* sums,
                        const float* inp_scales, const float* weight_scales, int M, int n,
                        cudaStream_t stream) {
    return launch(swiglu_quantize_kernel, ceil_div(M, kWarps), warps_block(), 0, stream, quantized, scales,
                  rows, sums, inp_scales, weight_scales, M, n);
}

// out (M, n) = or += sums as floats
PLM_API dequantize(float* out, const int* sums, const float* inp_scales, const float* weight_scales, int M,
                   int n, bool accumulate, cudaStream_t stream) {
    return launch(dequantize_kernel, ceil_div(M * n, kThreads), kThreads, 0, stream, out, sums, inp_scales,
                  weight_scales, M, n, accumulate);
}
