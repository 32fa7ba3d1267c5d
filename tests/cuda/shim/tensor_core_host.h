// The host's side of tensor_core.h: each function meets the other lanes, see collectives.cpp.
#pragma once
#include "async_copy.h"
#include "cuda_runtime.h"

__forceinline__ void mma_bf16_16816(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], PLM_SITE) {
    sim::mma_bf16_16816(d, a, b, {file, line});
}
__forceinline__ void mma_s8_16832(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], PLM_SITE) {
    sim::mma_s8_16832(d, a, b, {file, line});
}
__forceinline__ void ldmatrix_x4(uint32_t (&out)[4], const void* row, PLM_SITE) {
    sim::ldmatrix_x4(out, row, false, {file, line});
}
__forceinline__ void ldmatrix_x4_trans(uint32_t (&out)[4], const void* row, PLM_SITE) {
    sim::ldmatrix_x4(out, row, true, {file, line});
}
__forceinline__ void cp_async16(void* to, const void* from, bool valid) {
    sim::async_copy16(to, from, valid);
}
__forceinline__ void cp_async_commit() {
    sim::async_commit();
}
template <int kLeft>
__forceinline__ void cp_async_wait() {
    sim::async_wait(kLeft);
}
