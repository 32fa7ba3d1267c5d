#if defined(__aarch64__)
#include <arm_neon.h>

#include "peak.h"

#define PEAK_PAIRS 32
using Vector = int __attribute__((vector_size(16), may_alias));

static inline void multiply_add(Vector& sum, Vector a, Vector b) {
    sum = (Vector)vmmlaq_s32((int32x4_t)sum, (int8x16_t)a, (int8x16_t)b);
}

#include "peak.inc"

const plm::infer::Peak plm::infer::peak_i8mm = {"i8mm", multiply_add_all, read_all};
#endif
