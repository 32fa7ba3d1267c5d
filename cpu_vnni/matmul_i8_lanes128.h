/* Four sums in a 128-bit register of Arm: what the NEON kernels have in common. */
#ifndef CPU_VNNI_MATMUL_I8_LANES128_H
#define CPU_VNNI_MATMUL_I8_LANES128_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

/* GCC 12 moves the loads of a whole step to its start, and has no registers left for 24 sums. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-schedule-insns")
#endif

/* Two neighbours are then one instruction (ldp). */
#define LOADED_TOGETHER(a, b) __asm__("" : "+w"(a), "+w"(b))

typedef int32x4_t vector;
#define LANES 4

static inline vector load_sums(const int32_t* out, int cols) {
    if (cols >= LANES) return vld1q_s32(out);
    int32_t some[LANES] = {0};
    memcpy(some, out, (size_t)cols * sizeof *out);
    return vld1q_s32(some);
}

static inline void store_sums(int32_t* out, vector sums, int cols) {
    if (cols >= LANES) {
        vst1q_s32(out, sums);
    } else {
        int32_t some[LANES];
        vst1q_s32(some, sums);
        memcpy(out, some, (size_t)cols * sizeof *out);
    }
}

#endif
