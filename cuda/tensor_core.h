// The tensor cores and what feeds them, one thin function an instruction (sm_80 and newer; PTX ISA 7.0). All
// lanes of a warp call them together. Nothing else in this folder has PTX, so that the executor in tests/cuda
// has to know these few alone.
//
//   mma_bf16_16816   d[16,8] += a[16,16] b[16,8]   bf16, sums in float32
//   mma_s8_16832     d[16,8] += a[16,32] b[32,8]   int8, sums in int32, which wrap
//   ldmatrix_x4      four 8x8 matrices of 16 bits; lane i points to row i % 8 of matrix i / 8
//   cp_async16       16 bytes from global to shared memory, or zeros where not `valid`; visible to this
//   thread
//                    after cp_async_wait, to others after a barrier besides
//
// With g = lane / 4, t = lane % 4, and P numbers to a 32-bit register (2 of bf16, 4 of int8), neighbours in
// k:
//   a[i]: row g + 8 (i % 2), k = P t + 4 P (i / 2) ...   b[i]: column g, k = P t + 4 P i ...
//   d[i]: row g + 8 (i / 2), column 2 t + i % 2
//   ldmatrix out[i]: numbers 2 t, 2 t + 1 of row g of matrix i (transposed: of column g)
#pragma once
#include <cstdint>

#if !defined(__CUDACC__)
#include <tensor_core_host.h>
#else

__device__ __forceinline__ void mma_bf16_16816(float (&d)[4], const uint32_t (&a)[4],
                                               const uint32_t (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ void mma_s8_16832(int32_t (&d)[4], const uint32_t (&a)[4],
                                             const uint32_t (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ void ldmatrix_x4(uint32_t (&out)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
                 : "memory");
}

__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&out)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
                 : "memory");
}

__device__ __forceinline__ void cp_async16(void* to, const void* from, bool valid) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                     static_cast<uint32_t>(__cvta_generic_to_shared(to))),
                 "l"(from), "r"(valid ? 16 : 0)
                 : "memory");
}

__device__ __forceinline__ void cp_async_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

// Until at most kLeft of the groups committed last are still on their way.
template <int kLeft>
__device__ __forceinline__ void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

#endif
