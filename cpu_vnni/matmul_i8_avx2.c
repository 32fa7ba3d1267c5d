/* matmul_i8 with AVX2: both sides widened to 16 bits, multiplied and added by pairs (vpmaddwd).
 *
 * Not vpmaddubsw, the usual shortcut: it adds two products in 16 bits and saturates, 2 * 255 * 127 is twice
 * too much. Pairs of 16-bit products of bytes always fit 32 bits. Weights stay bytes in memory, since a
 * narrow model is bound by reading them; activations are widened once for all columns.
 *
 * A register of weights holds 4 of each of 8 columns. They become 16 bits by going into the upper bytes, with
 * zeros below (vpunpcklbw, vpunpckhbw): 256 times too large, but fewer operations than extending the sign
 * (vpmovsxbw) takes on most CPUs. Each half holds 4 columns and adds up two sums for each, which are divided
 * by 256 at the end: exact, since CHUNK_STEPS steps stay within 128 * 2 * 128 * 128 * 256 = 2^30.
 */
#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#include "matmul_i8_lanes256.h"

#define GROUP 4
#define GROUP_TYPE int64_t
#define OFFSET 0
#define TILE_ROWS 4
#define PANEL_BLOCKS 4
#define OWN_STEPS
static const int tile_blocks[TILE_ROWS] = {4, 2, 1, 1};

static void widen_row(int64_t* groups, const int8_t* inp, int K) {
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

#include "matmul_i8_panels.h"

_Static_assert(CHUNK_STEPS <= 128, "sums times 256 must fit");

/* In place: left alone, GCC 12 may add into another register and move the sum back, and a move takes as much
 * of what the CPU can issue as an addition. */
static inline void add(vector* sum, vector more) {
    __asm__("vpaddd %1, %0, %0" : "+x"(*sum) : "x"(more));
}

static inline __attribute__((always_inline)) void multiply_steps(tile_sums sum, const int rows,
                                                                 const int blocks, const tile_job* job) {
    const vector zero = _mm256_setzero_si256();
    vector low[TILE_ROWS][PANEL_BLOCKS], high[TILE_ROWS][PANEL_BLOCKS]; /* columns 0 1 4 5 and 2 3 6 7 */
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int b = 0; b < blocks; b++) low[r][b] = high[r][b] = zero;
    const int8_t* weight = job->weight;
    for (int step = 0; step < job->steps; step++, weight += job->step_stride) {
#pragma GCC unroll 4
        for (int b = 0; b < blocks; b++) {
            const vector w = _mm256_load_si256((const __m256i*)(weight + b * LANES * GROUP));
            vector w_low = _mm256_unpacklo_epi8(zero, w), w_high = _mm256_unpackhi_epi8(zero, w);
            /* Once for all rows, which GCC may otherwise repeat. */
            if (rows > 1) __asm__("" : "+x"(w_low), "+x"(w_high));
#pragma GCC unroll 4
            for (int r = 0; r < rows; r++) {
                const int64_t group = job->groups[(size_t)r * job->group_stride + (size_t)step];
                const vector a = _mm256_set1_epi64x(group);
                add(&low[r][b], _mm256_madd_epi16(a, w_low));
                add(&high[r][b], _mm256_madd_epi16(a, w_high));
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int b = 0; b < blocks; b++)
            add(&sum[r][b],
                _mm256_hadd_epi32(_mm256_srai_epi32(low[r][b], 8), _mm256_srai_epi32(high[r][b], 8)));
}

#include "matmul_i8_winograd.h"

const cpu_vnni_kernels cpu_vnni_avx2 = {"avx2", packed_size_pairs, pack_pairs, matmul_pairs};

#endif
