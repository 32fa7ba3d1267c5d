// Root-mean-square norm: out = inp * rinv * weight, rinv = 1 / sqrt(mean(inp^2) + 1e-5). Definition:
// engine/src/train/ops/rmsnorm.h. A warp takes a row, so no barrier is needed.
#include "device_math.h"
#include "reduce.h"

namespace {

constexpr int kWarps = 4, kGroups = 128;  // of rows in the backward pass

__global__ void rmsnorm_forward_kernel(float* out, float* rinv, const float* inp, const float* weight, int M,
                                       int D) {
    int lane = static_cast<int>(threadIdx.x), m = static_cast<int>(blockIdx.x * kWarps + threadIdx.y);
    if (m >= M) return;
    const float* x = inp + static_cast<size_t>(m) * D;
    float* o = out + static_cast<size_t>(m) * D;
    float sum = 0;
    for (int d = lane; d < D; d += kWarp) sum += x[d] * x[d];
    float r = 1.0f / sqrtf(warp_sum(sum) / static_cast<float>(D) + 1e-5f);
    if (lane == 0) rinv[m] = r;
    for (int d = lane; d < D; d += kWarp) o[d] = x[d] * r * weight[d];
}

// Each block takes every kGroups-th four rows; space (kGroups, D) gets its share of dweight.
__global__ void rmsnorm_backward_kernel(float* dinp, float* space, const float* dout, const float* inp,
                                        const float* rinv, const float* weight, int M, int D) {
    DYN_SHARED(float, sums);  // (kWarps, D)
    int lane = static_cast<int>(threadIdx.x), warp = static_cast<int>(threadIdx.y);
    float* mine = sums + warp * D;
    for (int d = lane; d < D; d += kWarp) mine[d] = 0;
    for (int m = static_cast<int>(blockIdx.x) * kWarps + warp; m < M; m += kGroups * kWarps) {
        const float* x = inp + static_cast<size_t>(m) * D;
        const float* g = dout + static_cast<size_t>(m) * D;
        float* dx = dinp + static_cast<size_t>(m) * D;
        float r = rinv[m], dot = 0;
        for (int d = lane; d < D; d += kWarp) dot += g[d] * weight[d] * x[d];
        float shrink = warp_sum(dot) * r * r * r / static_cast<float>(D);
        for (int d = lane; d < D; d += kWarp) {
            dx[d] += g[d] * weight[d] * r - x[d] * shrink;
            mine[d] += g[d] * x[d] * r;
        }
    }
    __syncthreads();
    for (int d = warp * kWarp + lane; d < D; d += kWarps * kWarp) {
        float sum = 0;
        for (int w = 0; w < kWarps; ++w) sum += sums[w * D + d];
        space[static_cast<size_t>(blockIdx.x) * D + d] = sum;
    }
}

}  // namespace

// out, inp (M, D), rinv (M), weight (D)
PLM_API rmsnorm_forward(float* out, float* rinv, const float* inp, const float* weight, int M, int D,
                        cudaStream_t stream) {
    return launch(rmsnorm_forward_kernel, ceil_div(M, kWarps), dim3(kWarp, kWarps), 0, stream, out, rinv, inp,
                  weight, M, D);
}

// dinp and dweight are added to. space (128, D)
PLM_API rmsnorm_backward(float* dinp, float* dweight, float* space, const float* dout, const float* inp,
                         const float* rinv, const float* weight, int M, int D, cudaStream_t stream) {
    cudaError_t error = launch(rmsnorm_backward_kernel, kGroups, dim3(kWarp, kWarps),
                               sizeof(float) * static_cast<size_t>(kWarps) * D, stream, dinp, space, dout,
                               inp, rinv, weight, M, D);
    if (error != cudaSuccess) return error;
    return add_column_sums(dweight, space, kGroups, D, stream);
}
