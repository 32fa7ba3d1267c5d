#if defined(__x86_64__)
#include <immintrin.h>

#include "peak.h"

#define PEAK_PAIRS 32
using Vector = int __attribute__((vector_size(32), may_alias));

// Half the multiplications and twice the additions (cpu_vnni/matmul_i8_avx2.c).
static inline void multiply_add(Vector& sum, Vector a, Vector b) {
    const __m256i left = _mm256_add_epi16((__m256i)a, (__m256i)b);
    const __m256i right = _mm256_sub_epi16((__m256i)a, (__m256i)b);
    sum += (Vector)_mm256_madd_epi16(left, right);
}

#include "peak.inc"

const plm::infer::Peak plm::infer::peak_avx2 = {"avx2", multiply_add_all, read_all};
#endif
