/* Shared by the matmul_i8_*.c files and dispatch.c alone. Functions here must be static:
 * each file is compiled for its own instruction set, and a copy that the linker merged could carry the wrong
 * one. */
#ifndef CPU_VNNI_MATMUL_I8_H
#define CPU_VNNI_MATMUL_I8_H

#include "kernels.h"

extern const cpu_vnni_kernels cpu_vnni_portable;
#if defined(__x86_64__)
extern const cpu_vnni_kernels cpu_vnni_avx2;
extern const cpu_vnni_kernels cpu_vnni_avxvnni;
extern const cpu_vnni_kernels cpu_vnni_avx512vnni;
#elif defined(__aarch64__)
extern const cpu_vnni_kernels cpu_vnni_neon;
extern const cpu_vnni_kernels cpu_vnni_dotprod;
extern const cpu_vnni_kernels cpu_vnni_i8mm;
#endif

/* `size` rounded up to a multiple of `step`, at least one step: aligned_alloc(64, 0) may give NULL. */
static inline size_t matmul_i8_round_up(size_t size, size_t step) {
    size_t steps = (size + step - 1) / step;
    return (steps > 0 ? steps : 1) * step;
}

#endif
