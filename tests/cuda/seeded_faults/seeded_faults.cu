// Kernels with one seeded fault each; FAULT 0 is the same kernel without it. tests/cuda/test_checker.py.
#include <cuda_bf16.h>

#include "launch.h"
#include "tensor_core.h"

namespace {

// Sum of each row of 64 by a tree in shared memory.
template <int kFault>
__global__ void tree_kernel(float* out, const float* inp, int n) {
    SHARED(float, part, [64]);
    int i = static_cast<int>(threadIdx.x);
    if (kFault == 1) {
        if (i < 32) part[i] = inp[i];  // the upper half is never written
    } else {
        part[i] = inp[i + (kFault == 2 ? n - 63 : 0)];  // one past the end
    }
    if (kFault != 3) __syncthreads();
    for (int step = 32; step > 0; step /= 2) {
        if (i < step) part[i] += part[i + step];
        if (kFault == 4 && i >= 32) return;  // gone before the others wait
        if (kFault == 5 && i >= 32) {
            __syncthreads();
        } else {
            __syncthreads();
        }
    }
    if (i == 0) out[0] = part[kFault == 6 ? 64 : 0];
}

// A row reversed in shared memory, twice.
template <int kFault>
__global__ void reuse_kernel(float* out, const float* inp) {
    SHARED(float, scratch, [64]);
    int i = static_cast<int>(threadIdx.x);
    for (int round = 0; round < 2; ++round) {
        scratch[i] = inp[round * 64 + i];
        __syncthreads();
        out[round * 64 + i] = scratch[63 - i];
        if (kFault != 1) __syncthreads();  // write after read
    }
}

template <int kFault>
__global__ void scatter_kernel(float* table, const int* ids, int n) {
    int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= n) return;
    if (kFault) {
        table[ids[i]] += 1.0f;
    } else {
        atomicAdd(&table[ids[i]], 1.0f);
    }
}

template <int kFault>
__global__ void warp_kernel(float* out, const float* inp) {
    SHARED(float, turn, [32]);
    int i = static_cast<int>(threadIdx.x);
    turn[i] = inp[i];
    if (kFault != 1) __syncwarp();
    float other = turn[31 - i];
    unsigned mask = kFault == 2 && i == 5 ? 0xFFFFu : ~0u;  // one lane has another mask
    out[i] = other + __shfl_xor_sync(mask, other, 1);
}

// Two dimensions, rows of 16 and a column too many or a barrier that half a warp never reaches.
template <int kFault>
__global__ void shape_kernel(float* out, const float* inp) {
    SHARED(float, tile, [8][9]);
    int i = static_cast<int>(threadIdx.x), row = i / 8, column = i % 8;
    tile[row][column] = inp[i];
    if (kFault != 2 || i < 16) __syncthreads();
    if (kFault == 3) tile[row][column + 1] += 1.0f;
    float value = tile[column][row + (kFault == 1 && i == 63 ? 2 : 0)];
    if (kFault == 4) const_cast<float*>(inp)[i + 1] = value;
    if (kFault == 5) value = __shfl_sync(0xFFFFFFFFu, value, i + 8);
    out[i] = value;
}

template <int kFault>
__global__ void wide_kernel(float* out, const float* inp) {
    int i = static_cast<int>(threadIdx.x);
    float4 v = *reinterpret_cast<const float4*>(inp + 4 * i + (kFault ? 1 : 0));
    out[i] = v.x + v.y + v.z + v.w;
}

// Two stages of cp.async, as the matrix products have.
template <int kFault>
__global__ void copy_kernel(float* out, const float* inp, int stages) {
    SHARED(float, stage, [2][128]);
    int i = static_cast<int>(threadIdx.x);
    cp_async16(&stage[0][4 * i], inp + 4 * i, true);
    cp_async_commit();
    float sum = 0;
    for (int s = 0; s < stages; ++s) {
        if (s + 1 < stages) cp_async16(&stage[(s + 1) % 2][4 * i], inp + (s + 1) * 128 + 4 * i, true);
        cp_async_commit();
        if (kFault == 1) {
            cp_async_wait<2>();  // one too few
        } else if (kFault != 2) {
            cp_async_wait<1>();
        }
        if (kFault != 3) __syncthreads();
        if (kFault != 2) sum += stage[s % 2][4 * (31 - i)];
        if (kFault != 4) __syncthreads();
    }
    out[i] = sum;
}

template <int kFault>
__global__ void fragment_kernel(float* out, const float* inp) {
    SHARED(__nv_bfloat16, tile, [16][24]);
    int lane = static_cast<int>(threadIdx.x);
    for (int i = lane; i < 256; i += 32) tile[i / 16][i % 16] = __float2bfloat16(inp[i]);
    if (kFault != 1) __syncwarp();
    uint32_t a[4], b[2];
    ldmatrix_x4(a, &tile[lane % 16][lane / 16 * 8 + (kFault == 2 ? 1 : 0)]);
    b[0] = a[0], b[1] = a[2];
    float d[4] = {};
    mma_bf16_16816(d, a, b);
    for (int i = 0; i < 4; ++i) out[(lane / 4 + 8 * (i / 2)) * 8 + 2 * (lane % 4) + i % 2] = d[i];
}

}  // namespace

#define TREE(fault)                                                                         \
    PLM_API seeded_tree_##fault(float* out, const float* inp, int n, cudaStream_t stream) { \
        return launch(tree_kernel<fault>, 1, 64, 0, stream, out, inp, n);                   \
    }
TREE(0)
TREE(1)
TREE(2)
TREE(3)
TREE(4)
TREE(5)
TREE(6)

#define PAIR(name, fault, threads)                                                       \
    PLM_API seeded_##name##_##fault(float* out, const float* inp, cudaStream_t stream) { \
        return launch(name##_kernel<fault>, 1, threads, 0, stream, out, inp);            \
    }
PAIR(reuse, 0, 64)
PAIR(reuse, 1, 64)
PAIR(warp, 0, 32)
PAIR(warp, 1, 32)
PAIR(warp, 2, 32)
PAIR(shape, 0, 64)
PAIR(shape, 1, 64)
PAIR(shape, 2, 64)
PAIR(shape, 3, 64)
PAIR(shape, 4, 64)
PAIR(shape, 5, 64)
PAIR(wide, 0, 8)
PAIR(wide, 1, 8)
PAIR(fragment, 0, 32)
PAIR(fragment, 1, 32)
PAIR(fragment, 2, 32)

#define COPY(fault)                                                                              \
    PLM_API seeded_copy_##fault(float* out, const float* inp, int stages, cudaStream_t stream) { \
        return launch(copy_kernel<fault>, 1, 32, 0, stream, out, inp, stages);                   \
    }
COPY(0)
COPY(1)
COPY(2)
COPY(3)
COPY(4)

#define SCATTER(fault)                                                                         \
    PLM_API seeded_scatter_##fault(float* table, const int* ids, int n, cudaStream_t stream) { \
        return launch(scatter_kernel<fault>, ceil_div(n, 32), 32, 0, stream, table, ids, n);   \
    }
SCATTER(0)
SCATTER(1)
