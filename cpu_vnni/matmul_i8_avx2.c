/* matmul_i8 with AVX2: both sides widened to 16 bits (vpmovsxbw), multiplied and added by pairs (vpmaddwd).
 *
 * Not vpmaddubsw, the usual shortcut: it adds two products in 16 bits and saturates, 2 * 255 * 127 is twice
 * too much. Pairs of 16-bit products of bytes always fit 32 bits. Weights stay bytes in memory, since a
 * narrow model is bound by reading them, and are widened on the way into the register; activations are
 * widened once for all columns.
 */
#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#include "matmul_i8_lanes256.h"

#define GROUP 2
#define OFFSET 0
#define TILE_ROWS 3
#define PANEL_BLOCKS 6
static const int tile_blocks[TILE_ROWS] = {6, 4, 3};

static void widen_row(int32_t* groups, const int8_t* inp, int K) {
    int k = 0;
    for (; k + 16 <= K; k += 16) {
        __m128i a = _mm_loadu_si128((const __m128i*)(inp + k));
        _mm256_store_si256((__m256i*)(groups + k / GROUP), _mm256_cvtepi8_epi16(a));
    }
    if (k < K) {
        int8_t rest[16] = {0};
        memcpy(rest, inp + k, (size_t)(K - k));
        __m128i a = _mm_loadu_si128((const __m128i*)rest);
        _mm256_store_si256((__m256i*)(groups + k / GROUP), _mm256_cvtepi8_epi16(a));
    }
}

static inline vector load_weight(const int8_t* weight) {
    return _mm256_cvtepi8_epi16(_mm_load_si128((const __m128i*)weight));
}

static inline vector multiply_add(vector sum, vector a, vector w) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(a, w));
}

#include "matmul_i8_panels.h"

const cpu_vnni_kernels cpu_vnni_avx2 = {"avx2", packed_size, pack, matmul};

#endif
