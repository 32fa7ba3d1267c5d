// A patch further for a batch of texts, all layers of the trunk in one launch: engine/src/infer/step.cpp for
// models of gated recurrences alone, to the last bit.
//
// A block carries up to 16 texts through all layers by itself, so that no block waits for another. What is
// between the products lies in shared memory; the int8 weights, 2 MB for `tcm`, come from L2, a warp for 8 of
// a product's columns at a time. One by one, the operators of infer.cu would be ten launches a layer.
#include "infer_rows.h"
#include "tensor_core.h"

// One layer's tensors: int8 matrices (rows, columns) with a scale for each row, the rest float.
struct TrunkLayer {
    const float *norm, *taps, *bias;  // (D), (3, D), (R)
    const int8_t* in;                 // (3 R, D)
    const float* in_scale;
    const int8_t* out;  // (D, R)
    const float* out_scale;
    const float* swiglu_norm;  // (D)
    const int8_t* up;          // (2 F, D)
    const float* up_scale;
    const int8_t* down;  // (D, F)
    const float* down_scale;
};

namespace {

constexpr int kRows = 16, kWarps = 8, kPad = 16;
constexpr size_t kMostShared = 99u << 10;

struct Shape {
    int layers, D, R, F;
    __host__ __device__ int widest_input() const { return D > R ? (D > F ? D : F) : (R > F ? R : F); }
    __host__ __device__ int widest_sums() const {
        return 3 * R > 2 * F ? (3 * R > D ? 3 * R : D) : (2 * F > D ? 2 * F : D);
    }
    __host__ __device__ int stride() const { return widest_input() + kPad; }  // of int8 rows: conflict-free
    __host__ __device__ size_t shared() const {
        return sizeof(float) * kRows * (static_cast<size_t>(D) + widest_input() + widest_sums() + 1) +
               static_cast<size_t>(kRows) * stride();
    }
};

// The block's working memory.
struct Work {
    float *x, *row, *scale;  // (kRows, D), (kRows, widest input), (kRows)
    int* sums;               // (kRows, widest sums)
    int8_t* quantized;       // (kRows, stride)
    __device__ Work(float* memory, const Shape& s)
        : x(memory),
          row(x + kRows * s.D),
          scale(row + kRows * s.widest_input()),
          sums(reinterpret_cast<int*>(scale + kRows)),
          quantized(reinterpret_cast<int8_t*>(sums + kRows * s.widest_sums())) {}
};

// work.sums (kRows, N) = work.quantized (kRows, K) @ weight (N, K)^T
__device__ void product(const Work& work, const Shape& s, const int8_t* weight, int N, int K) {
    int lane = static_cast<int>(threadIdx.x), warp = static_cast<int>(threadIdx.y), g = lane / 4,
        t = lane % 4;
    const int8_t* rows = work.quantized + lane % 16 * s.stride() + lane / 16 * 16;
    for (int n = 8 * warp; n < N; n += 8 * kWarps) {
        int32_t sums[4] = {};
        const auto* column = reinterpret_cast<const uint32_t*>(weight + static_cast<size_t>(n + g) * K) + t;
#pragma unroll 5
        for (int k = 0; k < K; k += 32) {
            uint32_t a[4], b[2] = {column[k / 4], column[k / 4 + 4]};
            ldmatrix_x4(a, rows + k);
            mma_s8_16832(sums, a, b);
        }
        for (int e = 0; e < 4; ++e) work.sums[(g + e / 2 * 8) * N + n + 2 * t + e % 2] = sums[e];
    }
}

// x += the product's sums as floats, and on to the next norm
__device__ void residual(const Work& work, const Shape& s, const float* weights, int m) {
    Sums sums{work.sums + m * s.D, weights, work.scale[m]};
    for (int i = static_cast<int>(threadIdx.x); i < s.D; i += kWarp) work.x[m * s.D + i] += sums[i];
    __syncwarp();
}

// f(m) for each of the block's rows, a warp for a row at a time, between two barriers
template <class F>
__device__ __forceinline__ void each_row(int rows, F&& f) {
    __syncthreads();
    for (int m = static_cast<int>(threadIdx.y); m < rows; m += kWarps) f(m);
    __syncthreads();
}

__global__ void __launch_bounds__(kWarp* kWarps)
    trunk_step_kernel(float* x, float* states, uint16_t* histories, const TrunkLayer* layers,
                      const int* slots, int M, Shape s) {
    DYN_SHARED(float, memory);
    Work work(memory, s);
    int first = static_cast<int>(blockIdx.x) * kRows, rows = min(kRows, M - first);
    int lane = static_cast<int>(threadIdx.x), thread = static_cast<int>(threadIdx.y) * kWarp + lane;
    // Rows that the batch does not fill stay zero: the products take sixteen.
    for (int i = thread; i < kRows * s.stride(); i += kWarp * kWarps) work.quantized[i] = 0;
    for (int i = thread; i < rows * s.D; i += kWarp * kWarps)
        work.x[i] = x[static_cast<size_t>(first) * s.D + i];
    for (int l = 0; l < s.layers; ++l) {
        const TrunkLayer layer = layers[l];
        each_row(rows, [&](int m) {
            size_t slot = static_cast<size_t>(slots[first + m]) * s.layers + l;
            norm_conv_quantize_row(work.quantized + m * s.stride(), work.scale + m,
                                   histories + slot * 2 * s.D, work.x + m * s.D, layer.norm, layer.taps, s.D);
        });
        product(work, s, layer.in, 3 * s.R, s.D);
        each_row(rows, [&](int m) {
            size_t slot = static_cast<size_t>(slots[first + m]) * s.layers + l;
            Sums sums{work.sums + m * 3 * s.R, layer.in_scale, work.scale[m]};
            __syncwarp();  // all lanes have the scale before it is replaced
            recurrence_quantize_row(work.quantized + m * s.stride(), work.scale + m, states + slot * s.R,
                                    work.row + m * s.R, sums, layer.bias, s.R);
        });
        product(work, s, layer.out, s.D, s.R);
        each_row(rows, [&](int m) {
            residual(work, s, layer.out_scale, m);
            norm_quantize_row(work.quantized + m * s.stride(), work.scale + m, work.x + m * s.D,
                              layer.swiglu_norm, s.D);
        });
        product(work, s, layer.up, 2 * s.F, s.D);
        each_row(rows, [&](int m) {
            Sums sums{work.sums + m * 2 * s.F, layer.up_scale, work.scale[m]};
            swiglu_quantize_row(work.quantized + m * s.stride(), work.scale + m, work.row + m * s.F, sums,
                                s.F);
        });
        product(work, s, layer.down, s.D, s.F);
        each_row(rows, [&](int m) { residual(work, s, layer.down_scale, m); });
    }
    for (int i = thread; i < rows * s.D; i += kWarp * kWarps)
        x[static_cast<size_t>(first) * s.D + i] = work.x[i];
}

}  // namespace

// x (M, D): the embedded patches, then the trunk's view of them. states (slots, layers, R) and histories
// (slots, layers, 2, D; bf16) move on at slots[m], all different. D, R and F are multiples of 32.
PLM_API trunk_step(float* x, float* states, uint16_t* histories, const TrunkLayer* layers, const int* slots,
                   int M, int L, int D, int R, int F, cudaStream_t stream) {
    Shape s{L, D, R, F};
    if (D % 32 != 0 || R % 32 != 0 || F % 32 != 0 || s.shared() > kMostShared) return cudaErrorInvalidValue;
    return launch(trunk_step_kernel, ceil_div(M, kRows), dim3(kWarp, kWarps), s.shared(), stream, x, states,
                  histories, layers, slots, M, s);
}
