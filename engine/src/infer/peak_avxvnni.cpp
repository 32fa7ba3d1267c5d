#if defined(__x86_64__)
#include <immintrin.h>

#include "peak.h"

#define PEAK_PAIRS 32
using Vector = int __attribute__((vector_size(32), may_alias));

static inline void multiply_add(Vector& sum, Vector a, Vector b) {
    sum = (Vector)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)a, (__m256i)b);
}

#include "peak.inc"

const plm::infer::Peak plm::infer::peak_avxvnni = {"avxvnni", multiply_add_all, read_all};
#endif
