/* Eight sums in a 256-bit register: what matmul_i8_avx2.c and matmul_i8_avxvnni.c have in common. */
#ifndef CPU_VNNI_MATMUL_I8_LANES256_H
#define CPU_VNNI_MATMUL_I8_LANES256_H

#include <immintrin.h>
#include <stdint.h>

typedef __m256i vector;
#define LANES 8

static inline vector broadcast(int32_t group) {
    return _mm256_set1_epi32(group);
}

/* All ones in the first `cols` lanes. Only a last block uses the masked forms: they are slow on some CPUs. */
static inline vector first_lanes(int cols) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(cols), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline vector load_sums(const int32_t* out, int cols) {
    if (cols >= LANES) return _mm256_loadu_si256((const __m256i*)out);
    return _mm256_maskload_epi32(out, first_lanes(cols));
}

static inline void store_sums(int32_t* out, vector sums, int cols) {
    if (cols >= LANES) {
        _mm256_storeu_si256((__m256i*)out, sums);
    } else {
        _mm256_maskstore_epi32(out, first_lanes(cols), sums);
    }
}

#endif
