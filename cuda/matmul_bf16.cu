// The matrix products on the tensor cores: bf16 operands, float32 sums and results. A block makes 64 x 64 of
// the result, its four warps 32 x 32 each; the operands of the next 32 steps of the sum are copied to shared
// memory while these are multiplied (cp.async, two stages). Definition: engine/src/train/ops/matmul.h.
//
// Rows of shared memory are padded by 16 bytes, so that the eight rows of an ldmatrix lie in different banks.
// An operand that lies across the sum goes through ldmatrix transposed instead of being turned beforehand.
// Rows that are no multiple of 16 bytes cannot be copied in pieces of 16; they are loaded number by number.
#include <cuda_bf16.h>

#include "matmul.h"
#include "tensor_core.h"

namespace {

using bf16 = __nv_bfloat16;

constexpr int kTile = 64, kDepth = 32, kThreads = 128, kPad = 8, kPiece = 8;
constexpr int kStage =
    kTile * (kDepth + kPad);  // numbers of an operand's stage; across: kDepth * (kTile + kPad)
static_assert(kStage >= kDepth * (kTile + kPad), "both layouts must fit");

// One operand in shared memory: along, rows of kDepth for each i; across, rows of kTile for each r.
template <bool kAcross>
struct Operand {
    static constexpr int kRow = (kAcross ? kTile : kDepth), kStride = kRow + kPad;
    static constexpr int kRows = kAcross ? kDepth : kTile;

    // Copies X(first + i, depth + r), zeros outside of (count, R).
    template <bool kPieces>
    static __device__ __forceinline__ void load(bf16* stage, const bf16* x, int first, int count, int depth,
                                                int R) {
        constexpr int kStep = kPieces ? kPiece : 1;
        int rows = kAcross ? R : count, columns = kAcross ? count : R;
        int row0 = kAcross ? depth : first, column0 = kAcross ? first : depth;
        for (int at = static_cast<int>(threadIdx.x) * kStep; at < kRows * kRow; at += kThreads * kStep) {
            int row = at / kRow, column = at % kRow;
            bool inside = row0 + row < rows && column0 + column < columns;
            const bf16* from = inside ? x + static_cast<size_t>(row0 + row) * columns + column0 + column : x;
            bf16* to = stage + row * kStride + column;
            if (kPieces) {
                cp_async16(to, from, inside);
            } else {
                *to = inside ? *from : __float2bfloat16(0.0f);
            }
        }
    }

    // Where this lane points ldmatrix to, for a 16 x 16 part that begins at (i, r). Matrices 0 to 3 are
    // (i, r), (i + 8, r), (i, r + 8), (i + 8, r + 8).
    static __device__ __forceinline__ const bf16* part(const bf16* stage, int i, int r) {
        int lane = static_cast<int>(threadIdx.x) % kWarp, row = lane % 8, matrix = lane / 8;
        int di = matrix % 2 * 8, dr = matrix / 2 * 8;
        return kAcross ? stage + (r + dr + row) * kStride + i + di
                       : stage + (i + di + row) * kStride + r + dr;
    }

    static __device__ __forceinline__ void fragment(uint32_t (&registers)[4], const bf16* stage, int i,
                                                    int r) {
        if (kAcross) {
            ldmatrix_x4_trans(registers, part(stage, i, r));
        } else {
            ldmatrix_x4(registers, part(stage, i, r));
        }
    }
};

template <bool kAcrossA, bool kAcrossB>
__device__ __forceinline__ void multiply_stage(float (&sums)[2][4][4], const bf16* a, const bf16* b, int i0,
                                               int j0) {
#pragma unroll
    for (int r = 0; r < kDepth; r += 16) {
        uint32_t left[2][4], right[2][4];
#pragma unroll
        for (int p = 0; p < 2; ++p) Operand<kAcrossA>::fragment(left[p], a, i0 + 16 * p, r);
#pragma unroll
        for (int q = 0; q < 2; ++q) Operand<kAcrossB>::fragment(right[q], b, j0 + 16 * q, r);
#pragma unroll
        for (int p = 0; p < 2; ++p) {
#pragma unroll
            for (int q = 0; q < 4; ++q) {
                uint32_t columns[2] = {right[q / 2][q % 2], right[q / 2][q % 2 + 2]};
                mma_bf16_16816(sums[p][q], left[p], columns);
            }
        }
    }
}

__device__ __forceinline__ void store(float* out, const float (&sums)[2][4][4], int i0, int j0, Sizes n,
                                      bool accumulate) {
    int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
    for (int p = 0; p < 2; ++p) {
#pragma unroll
        for (int q = 0; q < 4; ++q) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                int i = i0 + 16 * p + lane / 4 + e / 2 * 8, j = j0 + 8 * q + lane % 4 * 2 + e % 2;
                if (i >= n.I || j >= n.J) continue;
                float* o = out + static_cast<size_t>(i) * n.J + j;
                *o = accumulate ? *o + sums[p][q][e] : sums[p][q][e];
            }
        }
    }
}

template <bool kAcrossA, bool kAcrossB, bool kPieces>
__global__ void __launch_bounds__(kThreads)
    matmul_bf16_kernel(float* out, const bf16* a, const bf16* b, Sizes n, bool accumulate) {
    SHARED(bf16, stages_a, [2][kStage]);
    SHARED(bf16, stages_b, [2][kStage]);
    int i0 = static_cast<int>(blockIdx.x) * kTile, j0 = static_cast<int>(blockIdx.y) * kTile;
    int warp = static_cast<int>(threadIdx.x) / kWarp, wi = warp / 2 * 32, wj = warp % 2 * 32;
    float sums[2][4][4] = {};
    int steps = ceil_div(n.R, kDepth);
    Operand<kAcrossA>::template load<kPieces>(stages_a[0], a, i0, n.I, 0, n.R);
    Operand<kAcrossB>::template load<kPieces>(stages_b[0], b, j0, n.J, 0, n.R);
    cp_async_commit();
    for (int s = 0; s < steps; ++s) {
        if (s + 1 < steps) {
            int next = (s + 1) % 2, depth = (s + 1) * kDepth;
            Operand<kAcrossA>::template load<kPieces>(stages_a[next], a, i0, n.I, depth, n.R);
            Operand<kAcrossB>::template load<kPieces>(stages_b[next], b, j0, n.J, depth, n.R);
        }
        cp_async_commit();  // an empty group after the last stage, so that the count below stays the same
        cp_async_wait<1>();
        __syncthreads();
        multiply_stage<kAcrossA, kAcrossB>(sums, stages_a[s % 2], stages_b[s % 2], wi, wj);
        __syncthreads();  // before the stage is filled anew
    }
    store(out, sums, i0 + wi, j0 + wj, n, accumulate);
}

template <bool kAcrossA, bool kAcrossB>
cudaError_t multiply(float* out, const bf16* a, const bf16* b, Sizes n, bool accumulate,
                     cudaStream_t stream) {
    dim3 grid(static_cast<unsigned>(ceil_div(n.I, kTile)), static_cast<unsigned>(ceil_div(n.J, kTile)));
    bool pieces = (kAcrossA ? n.I : n.R) % kPiece == 0 && (kAcrossB ? n.J : n.R) % kPiece == 0;
    auto* kernel =
        pieces ? matmul_bf16_kernel<kAcrossA, kAcrossB, true> : matmul_bf16_kernel<kAcrossA, kAcrossB, false>;
    return launch(kernel, grid, kThreads, 0, stream, out, a, b, n, accumulate);
}

__global__ void to_bf16_kernel(bf16* out, const float* inp, size_t n) {
    size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (i < n) out[i] = __float2bfloat16(inp[i]);
}

}  // namespace

// The nearest bf16, ties to even.
PLM_API to_bf16(bf16* out, const float* inp, int n, cudaStream_t stream) {
    return launch(to_bf16_kernel, ceil_div(n, kThreads), kThreads, 0, stream, out, inp,
                  static_cast<size_t>(n));
}

PLM_API matmul_bf16_forward(float* out, const bf16* inp, const bf16* weight, int M, int N, int K,
                            bool accumulate, cudaStream_t stream) {
    return multiply<false, false>(out, inp, weight, {M, N, K}, accumulate, stream);
}

PLM_API matmul_bf16_backward_input(float* dinp, const bf16* dout, const bf16* weight, int M, int N, int K,
                                   bool accumulate, cudaStream_t stream) {
    return multiply<false, true>(dinp, dout, weight, {M, K, N}, accumulate, stream);
}

PLM_API matmul_bf16_backward_weight(float* dweight, const bf16* dout, const bf16* inp, int M, int N, int K,
                                    cudaStream_t stream) {
    return multiply<true, true>(dweight, dout, inp, {N, K, M}, true, stream);
}
