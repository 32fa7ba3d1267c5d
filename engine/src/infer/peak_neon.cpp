#if defined(__aarch64__)
#include <arm_neon.h>

#include "peak.h"

#define PEAK_PAIRS 8
using Vector = int __attribute__((vector_size(16), may_alias));

static inline void multiply_add(Vector& sum, Vector a, Vector b) {
    sum = (Vector)vpadalq_s16((int32x4_t)sum, vmull_s8(vget_low_s8((int8x16_t)a), vget_low_s8((int8x16_t)b)));
}

#include "peak.inc"

const plm::infer::Peak plm::infer::peak_neon = {"neon", multiply_add_all, read_all};
#endif
