/* Integer matrix kernels for narrow layers: one table of functions per instruction set.
 *
 *     C[M,N] (int32) = A[M,K] (int8 activations) @ B[N,K]^T (int8 weights)      C = A @ B^T
 *
 * Weights are packed once, when a model is loaded, into the order that the chosen table reads; activations
 * and results are plain row-major arrays. Every table gives the same bits as the portable one, for every int8
 * value, 0 <= M, N <= CPU_VNNI_MAX_MN and 0 <= K <= CPU_VNNI_MAX_K, so a table is chosen for speed alone.
 *
 * A block packed by one table can be read by that table only.
 */
#ifndef CPU_VNNI_KERNELS_H
#define CPU_VNNI_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Packed weights start at a multiple of this many bytes; packed sizes are multiples of it, so that
 * aligned_alloc(CPU_VNNI_ALIGNMENT, size) may be called as it is. `inp` and `out` need no such alignment. */
#define CPU_VNNI_ALIGNMENT 64

/* The largest K for which no sum of K products of int8 values can leave int32: 2^31 / 128^2 - 1. */
#define CPU_VNNI_MAX_K 131071

/* Leaves room for rounding up inside an int. */
#define CPU_VNNI_MAX_MN (1 << 30)

typedef struct {
    const char* name; /* portable; avx2, avxvnni, avx512vnni; neon, dotprod, i8mm */

    /* Bytes that matmul_i8_pack writes for weights [N,K]; at least CPU_VNNI_ALIGNMENT. */
    size_t (*matmul_i8_packed_size)(int N, int K);

    /* packed <- weight[N,K], row-major. */
    void (*matmul_i8_pack)(void* packed, const int8_t* weight, int N, int K);

    /* out[M,N] = inp[M,K] @ weight[N,K]^T. Reads and writes nothing outside the three arrays. */
    void (*matmul_i8)(int32_t* out, const int8_t* inp, const void* packed, int M, int N, int K);
} cpu_vnni_kernels;

/* Every table in this build, slowest first, ended by NULL. One that this CPU lacks may be listed but not
 * called. */
extern const cpu_vnni_kernels* const cpu_vnni_compiled[];

/* 1 if a table of this name is compiled and this CPU (and its operating system) can run it, else 0. */
int cpu_vnni_supported(const char* name);

/* The fastest table that runs here, or, where `wanted` is neither NULL nor empty, the one of that name.
 * A name that is unknown or that this CPU lacks gives NULL, and *error (if error is not NULL) a sentence for
 * the user; the text belongs to the calling thread and stays until its next call. */
const cpu_vnni_kernels* cpu_vnni_select(const char* wanted, const char** error);

#ifdef __cplusplus
}
#endif

#endif
