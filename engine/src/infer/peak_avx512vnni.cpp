#if defined(__x86_64__)
#include <immintrin.h>

#include "peak.h"

#define PEAK_PAIRS 64
using Vector = int __attribute__((vector_size(64), may_alias));

static inline void multiply_add(Vector& sum, Vector a, Vector b) {
    sum = (Vector)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
}

#include "peak.inc"

const plm::infer::Peak plm::infer::peak_avx512vnni = {"avx512vnni", multiply_add_all, read_all};
#endif
