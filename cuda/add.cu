// out += inp. Definition: engine/src/train/ops/arrays.h.
#include "launch.h"

namespace {

constexpr int kThreads = 256;

__global__ void add_kernel(float* out, const float* inp, size_t n) {
    size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (i < n) out[i] += inp[i];
}

}  // namespace

PLM_API add(float* out, const float* inp, size_t n, cudaStream_t stream) {
    return launch(add_kernel, static_cast<unsigned>((n + kThreads - 1) / kThreads), kThreads, 0, stream, out,
                  inp, n);
}
