/* matmul_i8 with AVX-512 VNNI: vpdpbusd multiplies 64 bytes and adds them by fours into 16 sums, without
 * saturating.
 *
 * The instruction takes unsigned times signed bytes, so activations are moved up by 128 (a flip of their top
 * bit) and each column's sum starts from -128 * the sum of its weights. One register holds 4 weights of 16
 * columns, and one broadcast the same 4 activations for all of them.
 *
 * Tiles keep rows x blocks sums in registers. Up to 4 x 6 = 24 of the 32, with 6 for weights and 1 for the
 * broadcast: 10 loads feed 24 multiplications. For one row, the 6 blocks only serve to hide the latency of
 * the additions: the weights are read once, as fast as their cache gives them.
 */
#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>

typedef __m512i vector;
#define LANES 16
#define GROUP 4
#define OFFSET 128
#define TILE_ROWS 4
#define PANEL_BLOCKS 6
static const int tile_blocks[TILE_ROWS] = {6, 6, 6, 6};

static void widen_row(int32_t* groups, const int8_t* inp, int K) {
    const __m512i top_bits = _mm512_set1_epi8((char)0x80);
    int k = 0;
    for (; k + 64 <= K; k += 64) {
        _mm512_store_si512(groups + k / GROUP, _mm512_xor_si512(_mm512_loadu_si512(inp + k), top_bits));
    }
    if (k < K) {
        __mmask64 rest = ~(__mmask64)0 >> (64 - (K - k));
        _mm512_store_si512(groups + k / GROUP,
                           _mm512_xor_si512(_mm512_maskz_loadu_epi8(rest, inp + k), top_bits));
    }
}

static inline vector broadcast(int32_t group) {
    return _mm512_set1_epi32(group);
}

static inline vector load_weight(const int8_t* weight) {
    return _mm512_load_si512(weight);
}

static inline vector multiply_add(vector sum, vector a, vector w) {
    return _mm512_dpbusd_epi32(sum, a, w);
}

static inline vector load_sums(const int32_t* out, int cols) {
    if (cols >= LANES) return _mm512_loadu_si512(out);
    return _mm512_maskz_loadu_epi32((__mmask16)((1u << cols) - 1), out);
}

/* A masked store costs many plain ones on Zen 4, hence the two forms. */
static inline void store_sums(int32_t* out, vector sums, int cols) {
    if (cols >= LANES) {
        _mm512_storeu_si512(out, sums);
    } else {
        _mm512_mask_storeu_epi32(out, (__mmask16)((1u << cols) - 1), sums);
    }
}

#include "matmul_i8_panels.h"

const cpu_vnni_kernels cpu_vnni_avx512vnni = {"avx512vnni", packed_size, pack, matmul};

#endif
