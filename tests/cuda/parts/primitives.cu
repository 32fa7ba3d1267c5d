// One instruction each, from and to the registers of 32 lanes as they lie in memory:
// tests/cuda/test_tensor_core.py.
#include "launch.h"
#include "tensor_core.h"

namespace {

template <class Sum, class Multiply>
__device__ void multiply(Sum* d, const uint32_t* a, const uint32_t* b, Multiply&& of) {
    int lane = static_cast<int>(threadIdx.x);
    uint32_t mine[4], other[2] = {b[2 * lane], b[2 * lane + 1]};
    Sum sums[4];
    for (int i = 0; i < 4; ++i) mine[i] = a[4 * lane + i], sums[i] = d[4 * lane + i];
    of(sums, mine, other);
    for (int i = 0; i < 4; ++i) d[4 * lane + i] = sums[i];
}

struct Bf16 {
    __device__ void operator()(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) const {
        mma_bf16_16816(d, a, b);
    }
};
struct Int8 {
    __device__ void operator()(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) const {
        mma_s8_16832(d, a, b);
    }
};

__global__ void bf16_kernel(float* d, const uint32_t* a, const uint32_t* b) {
    multiply(d, a, b, Bf16());
}
__global__ void int8_kernel(int32_t* d, const uint32_t* a, const uint32_t* b) {
    multiply(d, a, b, Int8());
}

// words: 32 rows of 16 bytes, by way of cp.async
template <bool kTransposed>
__global__ void ldmatrix_kernel(uint32_t* out, const uint32_t* words) {
    SHARED(uint32_t, rows, [32][4]);
    int lane = static_cast<int>(threadIdx.x);
    cp_async16(rows[lane], words + 4 * lane, lane != 31);  // the last row is filled with zeros
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    uint32_t mine[4];
    if (kTransposed) {
        ldmatrix_x4_trans(mine, rows[lane]);
    } else {
        ldmatrix_x4(mine, rows[lane]);
    }
    for (int i = 0; i < 4; ++i) out[4 * lane + i] = mine[i];
}

}  // namespace

PLM_API primitive_mma_bf16(float* d, const uint32_t* a, const uint32_t* b, cudaStream_t stream) {
    return launch(bf16_kernel, 1, 32, 0, stream, d, a, b);
}
PLM_API primitive_mma_s8(int32_t* d, const uint32_t* a, const uint32_t* b, cudaStream_t stream) {
    return launch(int8_kernel, 1, 32, 0, stream, d, a, b);
}
PLM_API primitive_ldmatrix(uint32_t* out, const uint32_t* words, cudaStream_t stream) {
    return launch(ldmatrix_kernel<false>, 1, 32, 0, stream, out, words);
}
PLM_API primitive_ldmatrix_trans(uint32_t* out, const uint32_t* words, cudaStream_t stream) {
    return launch(ldmatrix_kernel<true>, 1, 32, 0, stream, out, words);
}
