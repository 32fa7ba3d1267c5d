// Gated linear unit with silu: out = silu(gate) * up, the halves of one input row. Definition:
// engine/src/train/ops/swiglu.h.
#include "device_math.h"

namespace {

constexpr int kThreads = 256;

__global__ void swiglu_forward_kernel(float* out, const float* inp, size_t n, int F) {
    size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (i >= n) return;
    size_t at = i + i / F * F;  // of the gate
    float g = inp[at];
    out[i] = g * sigmoid(g) * inp[at + F];
}

__global__ void swiglu_backward_kernel(float* dinp, const float* dout, const float* inp, size_t n, int F) {
    size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (i >= n) return;
    size_t at = i + i / F * F;
    float g = inp[at], up = inp[at + F], d = dout[i], gate = sigmoid(g);
    dinp[at] = d * up * gate * (1.0f + g * (1.0f - gate));
    dinp[at + F] = d * g * gate;
}

unsigned blocks_of(size_t n) {
    return static_cast<unsigned>((n + kThreads - 1) / kThreads);
}

}  // namespace

// out (M, F), inp (M, 2F): gate then up
PLM_API swiglu_forward(float* out, const float* inp, int M, int F, cudaStream_t stream) {
    size_t n = static_cast<size_t>(M) * F;
    return launch(swiglu_forward_kernel, blocks_of(n), kThreads, 0, stream, out, inp, n, F);
}

// dinp is set.
PLM_API swiglu_backward(float* dinp, const float* dout, const float* inp, int M, int F, cudaStream_t stream) {
    size_t n = static_cast<size_t>(M) * F;
    return launch(swiglu_backward_kernel, blocks_of(n), kThreads, 0, stream, dinp, dout, inp, n, F);
}
