// The rows of infer_rows.h for a batch, one kind a launch, a warp for a row: tests/cuda/test_infer_rows.py.
#include "infer_rows.h"

namespace {

constexpr int kWarps = 4;

__device__ __forceinline__ int row_of() {
    return static_cast<int>(blockIdx.x * kWarps + threadIdx.y);
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
    size_t row = static_cast<size_t>(m) * n;
    norm_quantize_row(quantized + row, scales + m, inp + row, gain, n);
}

__global__ void norm_conv_quantize_kernel(int8_t* quantized, float* scales, uint16_t* histories,
                                          const float* inp, const float* gain, const float* taps, int M,
                                          int n) {
    int m = row_of();
    if (m >= M) return;
    size_t row = static_cast<size_t>(m) * n;
    norm_conv_quantize_row(quantized + row, scales + m, histories + 2 * row, inp + row, gain, taps, n);
}

__global__ void recurrence_quantize_kernel(int8_t* quantized, float* scales, float* states, float* rows,
                                           const int* sums, const float* inp_scales,
                                           const float* weight_scales, const float* bias, int M, int n) {
    int m = row_of();
    if (m >= M) return;
    size_t row = static_cast<size_t>(m) * n;
    Sums s{sums + 3 * row, weight_scales, inp_scales[m]};
    recurrence_quantize_row(quantized + row, scales + m, states + row, rows + row, s, bias, n);
}

__global__ void swiglu_quantize_kernel(int8_t* quantized, float* scales, float* rows, const int* sums,
                                       const float* inp_scales, const float* weight_scales, int M, int n) {
    int m = row_of();
    if (m >= M) return;
    size_t row = static_cast<size_t>(m) * n;
    Sums s{sums + 2 * row, weight_scales, inp_scales[m]};
    swiglu_quantize_row(quantized + row, scales + m, rows + row, s, n);
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

// With the convolution over this and the two rows before: histories (M, 2, n) in bf16, older first, move on;
// taps (3, n)
PLM_API norm_conv_quantize(int8_t* quantized, float* scales, uint16_t* histories, const float* inp,
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
