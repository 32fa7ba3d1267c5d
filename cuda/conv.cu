// Causal depthwise convolution over three characters: out[t] = w0 inp[t-2] + w1 inp[t-1] + w2 inp[t]; the
// rows before the window come from `history`, oldest first, and get no gradient. Definition:
// engine/src/train/ops/conv.h. A thread takes a channel over a stretch of time and keeps the last rows in
// registers, so every row is read once.
#include "launch.h"
#include "reduce.h"

namespace {

constexpr int kThreads = 64, kStretch = 16;

// The row at time t of sequence b, from before the window where t is negative.
__device__ __forceinline__ float row_at(const float* inp, const float* history, int b, int t, int length,
                                        int D, int d) {
    return t >= 0 ? inp[(static_cast<size_t>(b) * length + t) * D + d]
                  : history[(static_cast<size_t>(b) * 2 + t + 2) * D + d];
}

__global__ void conv_forward_kernel(float* out, const float* inp, const float* history, const float* weight,
                                    int length, int D) {
    int d = static_cast<int>(blockIdx.x * kThreads + threadIdx.x), b = static_cast<int>(blockIdx.z);
    int first = static_cast<int>(blockIdx.y) * kStretch, last = min(first + kStretch, length);
    if (d >= D) return;
    float w0 = weight[d * 3], w1 = weight[d * 3 + 1], w2 = weight[d * 3 + 2];
    float older = row_at(inp, history, b, first - 2, length, D, d);
    float newer = row_at(inp, history, b, first - 1, length, D, d);
    for (int t = first; t < last; ++t) {
        size_t at = (static_cast<size_t>(b) * length + t) * D + d;
        float now = inp[at];
        out[at] = w0 * older + w1 * newer + w2 * now;
        older = newer, newer = now;
    }
}

// space (B * stretches, 3 D): each stretch's share of dweight
__global__ void conv_backward_kernel(float* dinp, float* space, const float* dout, const float* inp,
                                     const float* history, const float* weight, int length, int D) {
    int d = static_cast<int>(blockIdx.x * kThreads + threadIdx.x), b = static_cast<int>(blockIdx.z);
    int first = static_cast<int>(blockIdx.y) * kStretch, last = min(first + kStretch, length);
    if (d >= D) return;
    float w0 = weight[d * 3], w1 = weight[d * 3 + 1], w2 = weight[d * 3 + 2];
    float dw0 = 0, dw1 = 0, dw2 = 0;
    float older = row_at(inp, history, b, first - 2, length, D, d);
    float newer = row_at(inp, history, b, first - 1, length, D, d);
    size_t at = (static_cast<size_t>(b) * length + first) * D + d;
    float g = dout[at], next = first + 1 < length ? dout[at + D] : 0.0f;
    for (int t = first; t < last; ++t, at += D) {
        float after = t + 2 < length ? dout[at + 2 * static_cast<size_t>(D)] : 0.0f;
        float now = inp[at];
        dw0 += g * older, dw1 += g * newer, dw2 += g * now;
        dinp[at] = w2 * g + w1 * next + w0 * after;
        older = newer, newer = now;
        g = next, next = after;
    }
    float* share = space + (static_cast<size_t>(b) * gridDim.y + blockIdx.y) * 3 * D + 3 * d;
    share[0] = dw0, share[1] = dw1, share[2] = dw2;
}

dim3 grid_of(int B, int length, int D) {
    return dim3(static_cast<unsigned>(ceil_div(D, kThreads)),
                static_cast<unsigned>(ceil_div(length, kStretch)), static_cast<unsigned>(B));
}

}  // namespace

// out, inp (B, length, D), history (B, 2, D), weight (D, 3)
PLM_API conv_forward(float* out, const float* inp, const float* history, const float* weight, int B,
                     int length, int D, cudaStream_t stream) {
    return launch(conv_forward_kernel, grid_of(B, length, D), kThreads, 0, stream, out, inp, history, weight,
                  length, D);
}

// dinp is set, dweight is added to. space (B * ceil(length / 16), 3 D)
PLM_API conv_backward(float* dinp, float* dweight, float* space, const float* dout, const float* inp,
                      const float* history, const float* weight, int B, int length, int D,
                      cudaStream_t stream) {
    cudaError_t error = launch(conv_backward_kernel, grid_of(B, length, D), kThreads, 0, stream, dinp, space,
                               dout, inp, history, weight, length, D);
    if (error != cudaSuccess) return error;
    return add_column_sums(dweight, space, B * ceil_div(length, kStretch), 3 * D, stream);
}
