// The matrix products in float32: the reference on the device, and what Newton-Schulz runs on. Tiles of 64 x
// 64 by 16, a thread for 4 x 4 of them. Definition: engine/src/train/ops/matmul.h.
#include "matmul.h"

namespace {

constexpr int kTile = 64, kDepth = 16, kSide = 16, kEach = kTile / kSide;

// tile[r][i] = X(first + i, depth + r), zeros outside. Neighbouring threads read neighbouring numbers.
template <bool kAcross>
__device__ __forceinline__ void load_tile(float (&tile)[kDepth][kTile + 1], const float* x, int first,
                                          int count, int depth, int R) {
    int thread = static_cast<int>(threadIdx.y) * kSide + static_cast<int>(threadIdx.x);
    for (int at = thread; at < kTile * kDepth; at += kSide * kSide) {
        int i = kAcross ? at % kTile : at / kDepth, r = kAcross ? at / kTile : at % kDepth;
        bool inside = first + i < count && depth + r < R;
        size_t from = kAcross ? static_cast<size_t>(depth + r) * count + first + i
                              : static_cast<size_t>(first + i) * R + depth + r;
        tile[r][i] = inside ? x[from] : 0.0f;
    }
}

template <bool kAcrossA, bool kAcrossB>
__global__ void __launch_bounds__(kSide* kSide)
    matmul_f32_kernel(float* out, const float* a, const float* b, Sizes n, bool accumulate) {
    SHARED(float, tile_a, [kDepth][kTile + 1]);
    SHARED(float, tile_b, [kDepth][kTile + 1]);
    int i0 = static_cast<int>(blockIdx.x) * kTile, j0 = static_cast<int>(blockIdx.y) * kTile;
    int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
    float sums[kEach][kEach] = {};
    for (int depth = 0; depth < n.R; depth += kDepth) {
        load_tile<kAcrossA>(tile_a, a, i0, n.I, depth, n.R);
        load_tile<kAcrossB>(tile_b, b, j0, n.J, depth, n.R);
        __syncthreads();
        for (int r = 0; r < kDepth; ++r) {
            float left[kEach], right[kEach];
            for (int e = 0; e < kEach; ++e)
                left[e] = tile_a[r][y + e * kSide], right[e] = tile_b[r][x + e * kSide];
            for (int p = 0; p < kEach; ++p)
                for (int q = 0; q < kEach; ++q) sums[p][q] = fmaf(left[p], right[q], sums[p][q]);
        }
        __syncthreads();
    }
    for (int p = 0; p < kEach; ++p) {
        for (int q = 0; q < kEach; ++q) {
            int i = i0 + y + p * kSide, j = j0 + x + q * kSide;
            if (i >= n.I || j >= n.J) continue;
            float* o = out + static_cast<size_t>(i) * n.J + j;
            *o = accumulate ? *o + sums[p][q] : sums[p][q];
        }
    }
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
