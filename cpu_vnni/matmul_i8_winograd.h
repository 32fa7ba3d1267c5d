/* Many rows with half the multiplications, for matmul_i8_avx2.c (S. Winograd, "A new algorithm for inner
 * product", IEEE Transactions on Computers, 1968):
 *
 *     x0 y0 + x1 y1 = (x0 + y1) (x1 + y0) - x0 x1 - y0 y1
 *
 * The products of a row's own numbers are taken once for all columns, those of a column's when weights are
 * packed. A sum of two bytes fits 16 bits, and the sum of two products of such 32; what runs over in adding
 * them up comes back when the others are subtracted, so results are exact.
 *
 * Worth it where few of a CPU's pipes multiply integers and most add them: on a Zen 1 one of four, and three.
 * Of a group of 4 activations the first and third lie in one register, the second and fourth in another, 16
 * bits each; of weights the other way round. Those of a panel are widened once for PAIR_ROWS rows, into a
 * buffer that stays in L1. First and third weights are moved up by 128, which takes no shift, and the
 * activations that they meet down.
 */
#ifndef CPU_VNNI_MATMUL_I8_WINOGRAD_H
#define CPU_VNNI_MATMUL_I8_WINOGRAD_H

#include "matmul_i8_panels.h"

#define FEWEST_ROWS 6 /* with fewer, widening costs more than it saves */
#define PAIR_ROWS 64
#define PAIR_STEPS 64
#define TILE_PAIR 2 /* rows of a tile: beside 4 blocks 8 sums, 4 registers of activations, 2 on the way */

/* A panel for some rows, from `steps` groups of each. */
typedef struct {
    int32_t* out;
    size_t out_stride;
    const int32_t (*groups)[PAIR_STEPS][2];
    const int32_t* products; /* of each row's own numbers in this chunk, to be subtracted */
    const vector (*weights)[2];
    int steps;
    const int32_t* correction; /* as in tile_job */
    int cols;
} pair_job;

static inline vector swap_middle(vector numbers) { /* 0 1 2 3 -> 0 2 1 3 of each 64 bits */
    return _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(numbers, 0xD8), 0xD8);
}

/* `K` activations as groups; returns the sum of x0 x1 + x2 x3 over them. */
static int32_t widen_pairs(int32_t groups[][2], const int8_t* inp, int K) {
    const vector moved = _mm256_set1_epi64x(0x0080008000000000);
    vector twice = _mm256_setzero_si256();
    for (int k = 0; k < K; k += 16) {
        int8_t rest[16] = {0};
        const int8_t* from = inp + k;
        if (K - k < 16) from = memcpy(rest, from, (size_t)(K - k));
        const vector numbers = swap_middle(_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)from)));
        _mm256_store_si256((vector*)groups[k / GROUP], _mm256_sub_epi16(numbers, moved));
        add(&twice, _mm256_madd_epi16(numbers, _mm256_shuffle_epi32(numbers, 0xB1)));
    }
    int32_t lanes[LANES];
    _mm256_storeu_si256((vector*)lanes, twice);
    return lanes[0] + lanes[2] + lanes[4] + lanes[6]; /* the others are the same */
}

/* The second and fourth of each 4 weights, and the first and third plus 128. */
static void widen_panel(vector (*to)[2], const int8_t* weight, int registers) {
    const vector low = _mm256_set1_epi16(0xFF), top_bit = _mm256_set1_epi16(0x80);
    for (int i = 0; i < registers; i++) {
        const vector w = _mm256_load_si256((const vector*)weight + i);
        to[i][0] = _mm256_srai_epi16(w, 8);
        to[i][1] = _mm256_xor_si256(_mm256_and_si256(w, low), top_bit);
    }
}

static inline __attribute__((always_inline)) void pair_tile(const int rows, const int blocks,
                                                            const pair_job* job) {
    vector sum[TILE_PAIR][PANEL_BLOCKS];
    const int last = blocks - 1, last_cols = job->cols - last * LANES;
#pragma GCC unroll 2
    for (int r = 0; r < rows; r++) {
        const int32_t* out = job->out + (size_t)r * job->out_stride;
        const vector products = _mm256_set1_epi32(job->products[r]);
#pragma GCC unroll 4
        for (int b = 0; b < blocks; b++) {
            const vector start = job->correction != NULL
                                     ? load_sums(job->correction + b * LANES, LANES)
                                     : load_sums(out + b * LANES, b < last ? LANES : last_cols);
            sum[r][b] = _mm256_sub_epi32(start, products);
        }
    }
    const vector(*weight)[2] = job->weights;
    for (int step = 0; step < job->steps; step++, weight += blocks) {
        vector first[TILE_PAIR], second[TILE_PAIR];
#pragma GCC unroll 2
        for (int r = 0; r < rows; r++) {
            first[r] = _mm256_set1_epi32(job->groups[r][step][0]);
            second[r] = _mm256_set1_epi32(job->groups[r][step][1]);
        }
#pragma GCC unroll 4
        for (int b = 0; b < blocks; b++)
#pragma GCC unroll 2
            for (int r = 0; r < rows; r++)
                add(&sum[r][b], _mm256_madd_epi16(_mm256_add_epi16(first[r], weight[b][0]),
                                                  _mm256_add_epi16(second[r], weight[b][1])));
    }
#pragma GCC unroll 2
    for (int r = 0; r < rows; r++) {
        int32_t* out = job->out + (size_t)r * job->out_stride;
#pragma GCC unroll 4
        for (int b = 0; b < blocks; b++) store_sums(out + b * LANES, sum[r][b], b < last ? LANES : last_cols);
    }
}

static void run_pair_tile(int rows, int blocks, const pair_job* job) {
#define TILE(r, b)            \
    case 10 * r + b:          \
        pair_tile(r, b, job); \
        break
    switch (10 * rows + blocks) {
        TILE(1, 1);
        TILE(1, 2);
        TILE(1, 3);
        TILE(1, 4);
        TILE(2, 1);
        TILE(2, 2);
        TILE(2, 3);
        TILE(2, 4);
    }
#undef TILE
}

/* All columns for rows whose groups from `step` on are ready. */
static void multiply_pairs(pair_job job, const int8_t* weight, int step, int steps_all, int rows, int N) {
    _Alignas(CPU_VNNI_ALIGNMENT) vector widened[PAIR_STEPS * PANEL_BLOCKS][2];
    const pair_job all = job;
    job.weights = (const vector(*)[2])widened;
    for (int block = 0, left = divide_up(N, LANES); left > 0;) {
        const int blocks = next_share(left, PANEL_BLOCKS);
        const size_t stride = (size_t)blocks * LANES * GROUP;
        widen_panel(widened, weight + (size_t)step * stride, job.steps * blocks);
        job.cols = N - block * LANES;
        if (all.correction != NULL) job.correction = all.correction + block * LANES;
        for (int row = 0; row < rows; row += TILE_PAIR) {
            job.out = all.out + (size_t)row * job.out_stride + block * LANES;
            job.groups = all.groups + row;
            job.products = all.products + row;
            run_pair_tile(smaller(rows - row, TILE_PAIR), blocks, &job);
        }
        weight += (size_t)steps_all * stride;
        block += blocks;
        left -= blocks;
    }
}

/* -sum of y0 y1 + y2 y3 over a column's weights: behind the weights that all loops read. */
static size_t products_start(int N, int K) {
    return packed_size(N, K);
}

static size_t packed_size_pairs(int N, int K) {
    return products_start(N, K) + weight_start(N);
}

static void pack_pairs(void* packed, const int8_t* weight, int N, int K) {
    int32_t* products = (int32_t*)((int8_t*)packed + products_start(N, K));
    pack(packed, weight, N, K);
    memset(products, 0, weight_start(N));
    for (int n = 0; n < N; n++)
        for (int k = 0; k + 1 < K; k += 2)
            products[n] -= weight[(size_t)n * K + k] * weight[(size_t)n * K + k + 1];
}

/* C = A @ B^T */
static void matmul_pairs(int32_t* out, const int8_t* inp, const void* packed, int M, int N, int K) {
    _Alignas(CPU_VNNI_ALIGNMENT) int32_t groups[PAIR_ROWS][PAIR_STEPS][2];
    int32_t products[PAIR_ROWS];
    const int8_t* weight = (const int8_t*)packed + weight_start(N);
    const int32_t* correction = (const int32_t*)((const int8_t*)packed + products_start(N, K));
    const int steps_all = divide_up(K, GROUP);
    if (M < FEWEST_ROWS || K == 0) {
        matmul(out, inp, packed, M, N, K);
        return;
    }
    for (int row = 0; row < M; row += PAIR_ROWS) {
        const int rows = smaller(M - row, PAIR_ROWS);
        for (int step = 0; step < steps_all;) {
            const int steps = next_share(steps_all - step, PAIR_STEPS);
            for (int r = 0; r < rows; r++)
                products[r] = widen_pairs(groups[r], inp + (size_t)(row + r) * K + (size_t)step * GROUP,
                                          smaller(K - step * GROUP, steps * GROUP));
            const pair_job job = {.out = out + (size_t)row * N,
                                  .out_stride = (size_t)N,
                                  .groups = (const int32_t (*)[PAIR_STEPS][2])groups,
                                  .products = products,
                                  .steps = steps,
                                  .correction = step == 0 ? correction : NULL};
            multiply_pairs(job, weight, step, steps_all, rows, N);
            step += steps;
        }
    }
}

#endif
