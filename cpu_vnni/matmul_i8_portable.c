/* matmul_i8 in plain C: the definition that every other matmul_i8_*.c must match bit for bit, and the kernel
 * for machines that none of them covers. Kept plain for ever: weights stay row-major, one dot product per
 * result.
 */
#include <string.h>

#include "matmul_i8.h"

static size_t packed_size(int N, int K) {
    return matmul_i8_round_up((size_t)N * (size_t)K, CPU_VNNI_ALIGNMENT);
}

static void pack(void* packed, const int8_t* weight, int N, int K) {
    size_t bytes = (size_t)N * (size_t)K;
    memset(packed, 0, packed_size(N, K));
    if (bytes > 0) memcpy(packed, weight, bytes);
}

/* C = A @ B^T */
static void matmul(int32_t* out, const int8_t* inp, const void* packed, int M, int N, int K) {
    const int8_t* weight = packed;
    for (int m = 0; m < M; m++) {
        for (int n = 0; n < N; n++) {
            const int8_t* a = inp + (size_t)m * K;
            const int8_t* b = weight + (size_t)n * K;
            int32_t sum = 0;
            for (int k = 0; k < K; k++) sum += (int32_t)a[k] * (int32_t)b[k];
            out[(size_t)m * N + n] = sum;
        }
    }
}

const cpu_vnni_kernels cpu_vnni_portable = {"portable", packed_size, pack, matmul};
