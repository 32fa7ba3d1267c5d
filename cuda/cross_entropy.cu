// Softmax with cross-entropy, in nats: loss[m] = log(sum_v exp(logits[m][v])) - logits[m][targets[m]].
// Definition: engine/src/train/ops/cross_entropy.h. A warp takes a row.
#include "device_math.h"

namespace {

constexpr int kWarps = 4;

struct Softmax {
    float top, sum;
};

__device__ __forceinline__ Softmax softmax_of(const float* z, int V) {
    int lane = static_cast<int>(threadIdx.x);
    float top = -INFINITY, sum = 0;
    for (int v = lane; v < V; v += kWarp) top = fmaxf(top, z[v]);
    top = warp_max(top);
    for (int v = lane; v < V; v += kWarp) sum += expf(z[v] - top);
    return {top, warp_sum(sum)};
}

__global__ void cross_entropy_forward_kernel(float* losses, const float* logits, const unsigned char* targets,
                                             int M, int V) {
    int m = static_cast<int>(blockIdx.x * kWarps + threadIdx.y);
    if (m >= M) return;
    const float* z = logits + static_cast<size_t>(m) * V;
    Softmax s = softmax_of(z, V);
    if (threadIdx.x == 0) losses[m] = logf(s.sum) + s.top - z[targets[m]];
}

__global__ void cross_entropy_backward_kernel(float* dlogits, const float* logits,
                                              const unsigned char* targets, float scale, int M, int V) {
    int m = static_cast<int>(blockIdx.x * kWarps + threadIdx.y);
    if (m >= M) return;
    const float* z = logits + static_cast<size_t>(m) * V;
    float* d = dlogits + static_cast<size_t>(m) * V;
    Softmax s = softmax_of(z, V);
    float by = scale / s.sum;
    for (int v = static_cast<int>(threadIdx.x); v < V; v += kWarp) {
        d[v] = expf(z[v] - s.top) * by - (v == targets[m] ? scale : 0.0f);
    }
}

}  // namespace

// losses (M), logits (M, V), targets (M)
PLM_API cross_entropy_forward(float* losses, const float* logits, const unsigned char* targets, int M, int V,
                              cudaStream_t stream) {
    return launch(cross_entropy_forward_kernel, ceil_div(M, kWarps), dim3(kWarp, kWarps), 0, stream, losses,
                  logits, targets, M, V);
}

// dlogits = (softmax(logits) - onehot(target)) * scale; may overwrite the logits in place.
PLM_API cross_entropy_backward(float* dlogits, const float* logits, const unsigned char* targets, float scale,
                               int M, int V, cudaStream_t stream) {
    return launch(cross_entropy_backward_kernel, ceil_div(M, kWarps), dim3(kWarp, kWarps), 0, stream, dlogits,
                  logits, targets, scale, M, V);
}
