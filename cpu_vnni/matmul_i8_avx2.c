/* matmul_i8 with AVX2, with half the multiplications (S. Winograd, "A new algorithm for inner product", IEEE
 * Transactions on Computers, 1968):
 *
 *     x0 y0 + x1 y1 = (x0 + y1) (x1 + y0) - x0 x1 - y0 y1
 *
 * The products of a row's own numbers are taken once for all columns, those of a column's when weights are
 * packed. A sum of two bytes fits 16 bits, and the sum of two products of such 32 (vpmaddwd); what runs over
 * in adding them up comes back when the others are subtracted, so results are exact. Worth it since few of a
 * CPU's pipes multiply integers and most add them: of the four of a Zen 1 one and three.
 *
 * Not vpmaddubsw, the usual shortcut: it adds two products in 16 bits and saturates, 2 * 255 * 127 is twice
 * too much.
 *
 * Of a group of 4 activations the first and third lie in one register and the second and fourth in another,
 * 16 bits each; of weights the other way round. Weights stay bytes in memory, since a narrow model is bound
 * by reading them: the second and fourth are the upper bytes of 16-bit numbers, which a shift leaves. The
 * first and third, the lower ones, are packed with 128 more, so that a mask leaves them, and the activations
 * that they meet have 128 less.
 */
#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#include "matmul_i8_lanes256.h"

#define GROUP 4
#define OFFSET 0
#define PANEL_BLOCKS 4
#include "matmul_i8_packed.h"

#define CHUNK_ROWS 64 /* rows and groups of activations that are made ready at once: 32 KiB at most */
#define CHUNK_GROUPS (64 * CHUNK_ROWS)
#define TILE_ROWS 2 /* beside 4 blocks: 8 sums, 4 registers of activations, the rest on the way */
#define FEW_ROWS 8  /* up to so many widen weights in every tile; more, once for all in a buffer */
#define MANY_STEPS 64

/* A panel for some rows. */
typedef struct {
    int32_t* out;
    size_t out_stride; /* N */
    const int32_t (*groups)[2];
    size_t group_stride;
    const int32_t* products; /* of each row's own numbers, to be subtracted */
    const vector* weights;   /* packed, or widened: two registers for one */
    int steps;
    const int32_t* correction; /* where sums start; NULL: from out, which an earlier chunk of K wrote */
    int cols;                  /* columns to write: the last block may have fewer than LANES */
} tile_job;

/* In place: left alone, GCC 12 may add into another register and move the sum back, and a move takes as much
 * of what the CPU can issue as an addition. */
static inline void add(vector* sum, vector more) {
    __asm__("vpaddd %1, %0, %0" : "+x"(*sum) : "x"(more));
}

static inline vector swap_middle(vector numbers) { /* 0 1 2 3 -> 0 2 1 3 of each 64 bits */
    return _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(numbers, 0xD8), 0xD8);
}

/* `K` activations as groups; returns the sum of x0 x1 + x2 x3 over them. */
static int32_t widen_row(int32_t groups[][2], const int8_t* inp, int K) {
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

static inline vector second_and_fourth(vector weights) {
    return _mm256_srai_epi16(weights, 8);
}

static inline vector first_and_third(vector weights) {
    return _mm256_and_si256(weights, _mm256_set1_epi16(0xFF));
}

static inline __attribute__((always_inline)) void tile(const int rows, const int blocks, const int widened,
                                                       const tile_job* job) {
    vector sum[TILE_ROWS][PANEL_BLOCKS];
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
    const vector* weight = job->weights;
    for (int step = 0; step < job->steps; step++, weight += widened ? 2 * blocks : blocks) {
        vector first[TILE_ROWS], second[TILE_ROWS];
#pragma GCC unroll 2
        for (int r = 0; r < rows; r++) {
            const int32_t* group = job->groups[(size_t)r * job->group_stride + (size_t)step];
            first[r] = _mm256_set1_epi32(group[0]);
            second[r] = _mm256_set1_epi32(group[1]);
        }
#pragma GCC unroll 4
        for (int b = 0; b < blocks; b++) {
            const vector w = widened ? weight[2 * b] : second_and_fourth(weight[b]);
            const vector v = widened ? weight[2 * b + 1] : first_and_third(weight[b]);
#pragma GCC unroll 2
            for (int r = 0; r < rows; r++)
                add(&sum[r][b],
                    _mm256_madd_epi16(_mm256_add_epi16(first[r], w), _mm256_add_epi16(second[r], v)));
        }
    }
#pragma GCC unroll 2
    for (int r = 0; r < rows; r++) {
        int32_t* out = job->out + (size_t)r * job->out_stride;
#pragma GCC unroll 4
        for (int b = 0; b < blocks; b++) store_sums(out + b * LANES, sum[r][b], b < last ? LANES : last_cols);
    }
}

/* Inlined with constant rows and blocks, so that `sum` becomes registers. */
static inline __attribute__((always_inline)) void run_tile(int rows, int blocks, const int widened,
                                                           const tile_job* job) {
#define TILE(r, b)                \
    case 10 * r + b:              \
        tile(r, b, widened, job); \
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

static void run_packed_tile(int rows, int blocks, const tile_job* job) {
    run_tile(rows, blocks, 0, job);
}

static void run_widened_tile(int rows, int blocks, const tile_job* job) {
    run_tile(rows, blocks, 1, job);
}

/* All columns for rows whose groups from `step` on are ready. */
static void multiply_rows(tile_job job, const int8_t* weight, int step, int steps_all, int rows, int N) {
    vector buffer[MANY_STEPS * PANEL_BLOCKS][2];
    const tile_job all = job;
    for (int block = 0, left = divide_up(N, LANES); left > 0;) {
        const int blocks = next_share(left, PANEL_BLOCKS);
        const size_t stride = (size_t)blocks * LANES * GROUP;
        job.weights = (const vector*)(weight + (size_t)step * stride);
        if (rows > FEW_ROWS) {
            for (int i = 0; i < job.steps * blocks; i++) {
                buffer[i][0] = second_and_fourth(job.weights[i]);
                buffer[i][1] = first_and_third(job.weights[i]);
            }
            job.weights = buffer[0];
        }
        job.cols = N - block * LANES;
        if (all.correction != NULL) job.correction = all.correction + block * LANES;
        for (int row = 0; row < rows; row += TILE_ROWS) {
            job.out = all.out + (size_t)row * job.out_stride + block * LANES;
            job.groups = all.groups + (size_t)row * job.group_stride;
            job.products = all.products + row;
            (rows > FEW_ROWS ? run_widened_tile : run_packed_tile)(smaller(rows - row, TILE_ROWS), blocks,
                                                                   &job);
        }
        weight += (size_t)steps_all * stride;
        block += blocks;
        left -= blocks;
    }
}

/* C = A @ B^T */
static void matmul(int32_t* out, const int8_t* inp, const void* packed, int M, int N, int K) {
    _Alignas(CPU_VNNI_ALIGNMENT) int32_t groups[CHUNK_GROUPS][2];
    int32_t products[CHUNK_ROWS];
    const int8_t* weight = (const int8_t*)packed + weight_start(N);
    const int steps_all = divide_up(K, GROUP);
    for (int row = 0; row < M; row += CHUNK_ROWS) {
        const int rows = smaller(M - row, CHUNK_ROWS);
        const int most = rows > FEW_ROWS ? MANY_STEPS : CHUNK_GROUPS / FEW_ROWS;
        int step = 0;
        do { /* once even for K = 0, whose results are zeros */
            const int steps = step < steps_all ? next_share(steps_all - step, most) : 0;
            const tile_job job = {.out = out + (size_t)row * N,
                                  .out_stride = (size_t)N,
                                  .groups = (const int32_t (*)[2])groups,
                                  .group_stride = (size_t)most,
                                  .products = products,
                                  .steps = steps,
                                  .correction = step == 0 ? packed : NULL};
            for (int r = 0; r < rows; r++)
                products[r] =
                    widen_row(groups + (size_t)r * most, inp + (size_t)(row + r) * K + (size_t)step * GROUP,
                              smaller(K - step * GROUP, steps * GROUP));
            multiply_rows(job, weight, step, steps_all, rows, N);
            step += steps;
        } while (step < steps_all);
    }
}

/* Sums start from those of a column's own products. */
static void pack_pairs(void* packed, const int8_t* weight, int N, int K) {
    int32_t* correction = packed;
    int8_t* bytes = (int8_t*)packed + weight_start(N);
    pack(packed, weight, N, K);
    for (int n = 0; n < N; n++)
        for (int k = 0; k + 1 < K; k += 2)
            correction[n] -= weight[(size_t)n * K + k] * weight[(size_t)n * K + k + 1];
    for (size_t i = 0; i < packed_size(N, K) - weight_start(N); i += 2) bytes[i] ^= (int8_t)0x80;
}

const cpu_vnni_kernels cpu_vnni_avx2 = {"avx2", packed_size, pack_pairs, matmul};

#endif
