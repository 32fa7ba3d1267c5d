// One block takes up to 16 rows through layers of int8 products without waiting for another block:
// activations lie in shared memory, the weights (2 MB for `tcm`) come from L2, a warp for 8 of a product's
// columns at a time.
#pragma once
#include "infer_model.h"
#include "infer_rows.h"
#include "tensor_core.h"

constexpr int kRows = 16, kWarps = 16, kPad = 16;

// The widest row of each kind.
struct BlockSizes {
    int x, quantized, sums;
    __host__ __device__ int stride() const { return quantized + kPad; }
    __host__ __device__ size_t shared() const {
        return sizeof(float) * kRows * (static_cast<size_t>(x) + sums + 1) +
               static_cast<size_t>(kRows) * stride();
    }
};

// A product's sums of a row and the floats made of them share memory: each number is read before the same
// lane writes there.
struct Work {
    BlockSizes n;
    float *x, *scale;   // (kRows, n.x), (kRows)
    int* sums;          // (kRows, n.sums)
    int8_t* quantized;  // (kRows, stride)
    __device__ Work(void* memory, const BlockSizes& sizes)
        : n(sizes),
          x(static_cast<float*>(memory)),
          scale(x + kRows * n.x),
          sums(reinterpret_cast<int*>(scale + kRows)),
          quantized(reinterpret_cast<int8_t*>(sums + kRows * n.sums)) {}
    __device__ int8_t* quantized_row(int m) const { return quantized + m * n.stride(); }
    __device__ float* row(int m) const { return reinterpret_cast<float*>(sums + m * n.sums); }
    __device__ float* x_row(int m) const { return x + m * n.x; }
    // The scale is copied: all lanes have it before it is replaced.
    __device__ Sums sums_of(int m, const float* weights) const {
        Sums s{sums + m * n.sums, weights, scale[m]};
        __syncwarp();
        return s;
    }
};

// Rows that a batch does not fill stay zero: the products take sixteen.
__device__ __forceinline__ void clear(const Work& work) {
    int thread = static_cast<int>(threadIdx.y) * kWarp + static_cast<int>(threadIdx.x);
    for (int i = thread; i < kRows * work.n.stride(); i += kWarp * kWarps) work.quantized[i] = 0;
}

// work.sums (kRows, N) = work.quantized (kRows, K) @ weight (N, K)^T; N a multiple of 8, K of 16
__device__ __forceinline__ void product(const Work& work, const Int8Rows& weight, int N, int K) {
    int lane = static_cast<int>(threadIdx.x), warp = static_cast<int>(threadIdx.y), g = lane / 4,
        t = lane % 4;
    const int8_t* rows = work.quantized_row(lane % 16) + lane / 16 * 16;
    for (int n = 8 * warp; n < N; n += 8 * kWarps) {
        int32_t sums[4] = {};
        const auto* column =
            reinterpret_cast<const uint32_t*>(weight.rows + static_cast<size_t>(n + g) * K) + t;
#pragma unroll 4
        for (int k = 0; k < K; k += 32) {
            uint32_t a[4], b[2] = {column[k / 4], k + 16 < K ? column[k / 4 + 4] : 0};
            ldmatrix_x4(a, rows + k);
            mma_s8_16832(sums, a, b);
        }
        for (int e = 0; e < 4; ++e) work.sums[(g + e / 2 * 8) * work.n.sums + n + 2 * t + e % 2] = sums[e];
    }
}

// f(m) for each of the block's rows, a warp for a row, between two barriers
template <class F>
__device__ __forceinline__ void each_row(int rows, F&& f) {
    __syncthreads();
    for (int m = static_cast<int>(threadIdx.y); m < rows; m += kWarps) f(m);
    __syncthreads();
}

// out = or += the product's sums as floats
__device__ __forceinline__ void dequantize_row(float* out, const Sums& s, int n, bool accumulate) {
    for (int i = static_cast<int>(threadIdx.x); i < n; i += kWarp) out[i] = accumulate ? out[i] + s[i] : s[i];
    __syncwarp();
}

// x += down(swiglu(up(norm(x)))). Before: work.sums of the product `before`, unless nullptr, still to be
// added to x; after: those of layer.down.
__device__ __forceinline__ void swiglu_layer(const Work& work, int rows, const InferSwiglu& layer,
                                             const float* before, int width, int hidden) {
    each_row(rows, [&](int m) {
        if (before) dequantize_row(work.x_row(m), work.sums_of(m, before), width, true);
        norm_quantize_row(work.quantized_row(m), work.scale + m, work.x_row(m), layer.norm, width);
    });
    product(work, layer.up, 2 * hidden, width);
    each_row(rows, [&](int m) {
        Sums s = work.sums_of(m, layer.up.scale);
        swiglu_quantize_row(work.quantized_row(m), work.scale + m, work.row(m), s, hidden);
    });
    product(work, layer.down, width, hidden);
}
