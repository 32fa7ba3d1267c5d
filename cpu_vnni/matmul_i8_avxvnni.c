/* matmul_i8 with AVX-VNNI, the 256-bit form of vpdpbusd for CPUs without AVX-512 (Intel's small and client
 * cores).
 *
 * The same arithmetic as matmul_i8_avx512vnni.c: activations moved up by 128 into unsigned bytes, sums that
 * start from -128 * the sum of the column's weights. Half the lanes and half the registers: a tile is 4 rows
 * x 3 blocks of 8 columns, and one row takes 6 blocks to hide the latency of the additions.
 *
 * CPUs with AVX-512 VNNI know the instruction under another encoding: compiled with -mavx512vnni -mavx512vl,
 * this file runs there too, which is how tests reach it on machines without AVX-VNNI.
 */
#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#include "matmul_i8_lanes256.h"

#if defined(__AVXVNNI__)
#define DPBUSD _mm256_dpbusd_avx_epi32
#else
#define DPBUSD _mm256_dpbusd_epi32
#endif

#define GROUP 4
#define OFFSET 128
#define TILE_ROWS 4
#define PANEL_BLOCKS 6
static const int tile_blocks[TILE_ROWS] = {6, 6, 4, 3};

static void widen_row(int32_t* groups, const int8_t* inp, int K) {
    const __m256i top_bits = _mm256_set1_epi8((char)0x80);
    int k = 0;
    for (; k + 32 <= K; k += 32) {
        __m256i a = _mm256_loadu_si256((const __m256i*)(inp + k));
        _mm256_store_si256((__m256i*)(groups + k / GROUP), _mm256_xor_si256(a, top_bits));
    }
    if (k < K) {
        int8_t rest[32] = {0};
        memcpy(rest, inp + k, (size_t)(K - k));
        __m256i a = _mm256_loadu_si256((const __m256i*)rest);
        _mm256_store_si256((__m256i*)(groups + k / GROUP), _mm256_xor_si256(a, top_bits));
    }
}

static inline vector load_weight(const int8_t* weight) {
    return _mm256_load_si256((const __m256i*)weight);
}

static inline vector multiply_add(vector sum, vector a, vector w) {
    return DPBUSD(sum, a, w);
}

#include "matmul_i8_panels.h"

const cpu_vnni_kernels cpu_vnni_avxvnni = {"avxvnni", packed_size, pack, matmul};

#endif
