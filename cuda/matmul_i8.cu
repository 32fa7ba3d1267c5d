// out[M,N] (int32) = inp[M,K] (int8) @ weight[N,K]^T, exact, as cpu_vnni has it: for inference. A block makes
// 32 x 64 of the result; few rows are the usual case. K must be a multiple of 16, as in every model.
#include "launch.h"
#include "tensor_core.h"

namespace {

constexpr int kRows = 32, kColumns = 64, kDepth = 64, kThreads = 128, kStride = kDepth + 16;

// Rows first .. of x (count, K), columns depth ..: zeros outside.
__device__ __forceinline__ void load_rows(int8_t* stage, const int8_t* x, int rows, int first, int count,
                                          int depth, int K) {
    for (int at = static_cast<int>(threadIdx.x) * 16; at < rows * kDepth; at += kThreads * 16) {
        int row = at / kDepth, column = at % kDepth;
        bool inside = first + row < count && depth + column < K;
        const int8_t* from = inside ? x + static_cast<size_t>(first + row) * K + depth + column : x;
        cp_async16(stage + row * kStride + column, from, inside);
    }
}

// 16 rows by 32 bytes, or two times 8 rows: ldmatrix sees pairs of bytes, so that 16 bytes are one of its
// rows.
__device__ __forceinline__ void fragment(uint32_t (&registers)[4], const int8_t* stage, int row, int k) {
    int lane = static_cast<int>(threadIdx.x) % kWarp;
    ldmatrix_x4(registers, stage + (row + lane % 16) * kStride + k + lane / 16 * 16);
}

__global__ void __launch_bounds__(kThreads)
    matmul_i8_kernel(int32_t* out, const int8_t* inp, const int8_t* weight, int M, int N, int K) {
    SHARED(int8_t, stages_inp, [2][kRows * kStride]);
    SHARED(int8_t, stages_weight, [2][kColumns * kStride]);
    int m0 = static_cast<int>(blockIdx.x) * kRows, n0 = static_cast<int>(blockIdx.y) * kColumns;
    int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
    int32_t sums[2][2][4] = {};  // a warp: all rows by 16 columns
    int steps = ceil_div(K, kDepth);
    load_rows(stages_inp[0], inp, kRows, m0, M, 0, K);
    load_rows(stages_weight[0], weight, kColumns, n0, N, 0, K);
    cp_async_commit();
    for (int s = 0; s < steps; ++s) {
        if (s + 1 < steps) {
            load_rows(stages_inp[(s + 1) % 2], inp, kRows, m0, M, (s + 1) * kDepth, K);
            load_rows(stages_weight[(s + 1) % 2], weight, kColumns, n0, N, (s + 1) * kDepth, K);
        }
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
        for (int k = 0; k < kDepth; k += 32) {
            uint32_t columns[4];
            fragment(columns, stages_weight[s % 2], warp * 16, k);
            for (int p = 0; p < 2; ++p) {
                uint32_t rows[4];
                fragment(rows, stages_inp[s % 2], 16 * p, k);
                for (int q = 0; q < 2; ++q) {
                    uint32_t pair[2] = {columns[q], columns[q + 2]};
                    mma_s8_16832(sums[p][q], rows, pair);
                }
            }
        }
        __syncthreads();
    }
    for (int p = 0; p < 2; ++p) {
        for (int q = 0; q < 2; ++q) {
            for (int e = 0; e < 4; ++e) {
                int m = m0 + 16 * p + lane / 4 + e / 2 * 8, n = n0 + 16 * warp + 8 * q + lane % 4 * 2 + e % 2;
                if (m < M && n < N) out[static_cast<size_t>(m) * N + n] = sums[p][q][e];
            }
        }
    }
}

}  // namespace

// K a multiple of 16
PLM_API matmul_i8(int32_t* out, const int8_t* inp, const int8_t* weight, int M, int N, int K,
                  cudaStream_t stream) {
    if (K % 16 != 0) return cudaErrorInvalidValue;
    dim3 grid(static_cast<unsigned>(ceil_div(M, kRows)), static_cast<unsigned>(ceil_div(N, kColumns)));
    return launch(matmul_i8_kernel, grid, kThreads, 0, stream, out, inp, weight, M, N, K);
}
