// The matrix products in float32: the reference on the device. Definition: engine/src/train/ops/matmul.h.
#include "matmul_f32.h"

namespace {

template <bool kAcrossA, bool kAcrossB>
__global__ void __launch_bounds__(kSide* kSide)
    matmul_f32_kernel(float* out, const float* a, const float* b, Sizes n, bool accumulate) {
    SHARED(float, tile_a, [kTileDepth][kTile + 1]);
    SHARED(float, tile_b, [kTileDepth][kTile + 1]);
    int i0 = static_cast<int>(blockIdx.x) * kTile, j0 = static_cast<int>(blockIdx.y) * kTile;
    product_tile<kAcrossA, kAcrossB>(tile_a, tile_b, a, b, n, i0, j0, [&](int i, int j, float sum) {
        float* o = out + static_cast<size_t>(i) * n.J + j;
        *o = accumulate ? *o + sum : sum;
    });
}

template <bool kAcrossA, bool kAcrossB>
cudaError_t multiply(float* out, const float* a, const float* b, Sizes n, bool accumulate,
                     cudaStream_t stream) {
    dim3 grid(static_cast<unsigned>(ceil_div(n.I, kTile)), static_cast<unsigned>(ceil_div(n.J, kTile)));
    return launch(matmul_f32_kernel<kAcrossA, kAcrossB>, grid, dim3(kSide, kSide), 0, stream, out, a, b, n,
                  accumulate);
}

}  // namespace

PLM_API matmul_f32_forward(float* out, const float* inp, const float* weight, int M, int N, int K,
                           bool accumulate, cudaStream_t stream) {
    return multiply<false, false>(out, inp, weight, {M, N, K}, accumulate, stream);
}

PLM_API matmul_f32_backward_input(float* dinp, const float* dout, const float* weight, int M, int N, int K,
                                  bool accumulate, cudaStream_t stream) {
    return multiply<false, true>(dinp, dout, weight, {M, K, N}, accumulate, stream);
}

PLM_API matmul_f32_backward_weight(float* dweight, const float* dout, const float* inp, int M, int N, int K,
                                   cudaStream_t stream) {
    return multiply<true, true>(dweight, dout, inp, {N, K, M}, true, stream);
}
