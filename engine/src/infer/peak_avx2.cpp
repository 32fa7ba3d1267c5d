#if defined(__x86_64__)
#include <immintrin.h>

#include "peak.h"

#define PEAK_PAIRS 32
using Vector = int __attribute__((vector_size(32), may_alias));

static inline void multiply_add(Vector& sum, Vector a, Vector b) {
    const __m256i pairs = _mm256_maddubs_epi16((__m256i)a, (__m256i)b);
    sum += (Vector)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

#include "peak.inc"

const plm::infer::Peak plm::infer::peak_avx2 = {"avx2", multiply_add_all, read_all};
#endif
