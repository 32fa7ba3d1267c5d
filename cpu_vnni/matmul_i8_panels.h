/* The loops around a matmul_i8 register tile, shared by the vector instruction sets. Each matmul_i8_<isa>.c
 * includes this file once, so that its loops are compiled for its own instruction set. Before that it defines
 * what differs:
 *
 *     vector         a register of LANES sums of 32 bits
 *     GROUP          activations in one group: what one lane of one multiplication consumes
 *     OFFSET         added to every activation by widen_row to make it fit the instruction
 *     TILE_ROWS      most activation rows in one tile
 *     PANEL_BLOCKS   most blocks of LANES columns in one panel
 *     tile_blocks    [rows - 1] -> most blocks of a panel beside that many rows; never rises
 *     widen_row      int8 activations -> groups
 *     broadcast      one group -> all lanes
 *     load_weight    GROUP weights of each of LANES columns
 *     multiply_add   sum + a * w, over the group
 *     load_sums      the first `cols` of LANES results, and store_sums; neither touches another
 *
 * and where they are not what follows:
 *
 *     GROUP_TYPE     what holds a group: int32_t
 *     WEIGHT_TYPE    what load_weight and broadcast give: vector
 *     ROWS_TOGETHER  rows whose groups lie side by side, since one multiplication takes them all: 1
 *                    With more the file defines run_tile itself, after this one
 *     OWN_STEPS      the file defines multiply_steps itself, after this one
 *
 * The layout of the weights is that of matmul_i8_packed.h.
 * Since sum((a + OFFSET) * w) = sum(a * w) + OFFSET * sum(w), sums that start from the correction end exact.
 */
#ifndef CPU_VNNI_MATMUL_I8_PANELS_H
#define CPU_VNNI_MATMUL_I8_PANELS_H

#include "matmul_i8_packed.h"

#ifndef ROWS_TOGETHER
#define ROWS_TOGETHER 1
#endif
#ifndef GROUP_TYPE
#define GROUP_TYPE int32_t
#endif
#ifndef WEIGHT_TYPE
#define WEIGHT_TYPE vector
#endif
#if defined(__aarch64__)
#define VECTOR_REGISTER "+w"
#else
#define VECTOR_REGISTER "+v"
#endif

/* Activations are widened once for this many rows and groups, on the stack: 32 KiB at most, usually a few. */
#define CHUNK_ROWS 32
#define CHUNK_STEPS (1024 / (int)sizeof(GROUP_TYPE))

/* One tile: out[rows, cols] = or += groups[rows, steps] @ weight[cols, steps]^T. */
typedef struct {
    int32_t* out;
    size_t out_stride; /* N */
    const GROUP_TYPE* groups;
    size_t group_stride;
    const int8_t* weight;
    size_t step_stride; /* bytes from one step of the panel to the next */
    int steps;
    const int32_t* correction; /* where sums start; NULL: from out, which an earlier chunk of K wrote */
    int cols;                  /* columns to write: the last block may have fewer than LANES */
} tile_job;

#if ROWS_TOGETHER > 1
static void run_tile(int rows, int blocks, const tile_job* job);
#else
typedef vector tile_sums[TILE_ROWS][PANEL_BLOCKS];

#ifdef OWN_STEPS
static inline __attribute__((always_inline)) void multiply_steps(tile_sums sum, int rows, int blocks,
                                                                 const tile_job* job);
#else
static inline __attribute__((always_inline)) void multiply_steps(tile_sums sum, const int rows,
                                                                 const int blocks, const tile_job* job) {
    const int8_t* weight = job->weight;
    for (int step = 0; step < job->steps; step++, weight += job->step_stride) {
        WEIGHT_TYPE a[TILE_ROWS];
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++)
            a[r] = broadcast(job->groups[(size_t)r * job->group_stride + (size_t)step]);
#pragma GCC unroll 6
        for (int b = 0; b < blocks; b++) {
            WEIGHT_TYPE w = load_weight(weight + b * LANES * GROUP);
            /* One load for all rows: left alone, GCC may repeat it in every multiplication, and loads become
             * the limit. */
            if (rows > 1) __asm__("" : VECTOR_REGISTER(w));
#pragma GCC unroll 4
            for (int r = 0; r < rows; r++) sum[r][b] = multiply_add(sum[r][b], a[r], w);
        }
    }
}
#endif

/* Inlined with constant rows and blocks, so that `sum` becomes registers. */
static inline __attribute__((always_inline)) void tile(const int rows, const int blocks,
                                                       const tile_job* job) {
    tile_sums sum;
    const int last = blocks - 1, last_cols = job->cols - last * LANES;
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
        const int32_t* out = job->out + (size_t)r * job->out_stride;
#pragma GCC unroll 6
        for (int b = 0; b < blocks; b++) {
            sum[r][b] = job->correction != NULL ? load_sums(job->correction + b * LANES, LANES)
                                                : load_sums(out + b * LANES, b < last ? LANES : last_cols);
        }
    }
    multiply_steps(sum, rows, blocks, job);
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
        int32_t* out = job->out + (size_t)r * job->out_stride;
#pragma GCC unroll 6
        for (int b = 0; b < blocks; b++) store_sums(out + b * LANES, sum[r][b], b < last ? LANES : last_cols);
    }
}

/* tile_blocks is constant: the tiles that it does not ask for fold away. */
static void run_tile(int rows, int blocks, const tile_job* job) {
#define TILE(r, b)                                    \
    case 10 * r + b:                                  \
        if (b <= tile_blocks[r - 1]) tile(r, b, job); \
        break
    switch (10 * rows + blocks) {
        TILE(1, 1);
        TILE(1, 2);
        TILE(1, 3);
        TILE(1, 4);
        TILE(1, 5);
        TILE(1, 6);
        TILE(2, 1);
        TILE(2, 2);
        TILE(2, 3);
        TILE(2, 4);
        TILE(2, 5);
        TILE(2, 6);
        TILE(3, 1);
        TILE(3, 2);
        TILE(3, 3);
        TILE(3, 4);
        TILE(3, 5);
        TILE(3, 6);
#if TILE_ROWS >= 4
        TILE(4, 1);
        TILE(4, 2);
        TILE(4, 3);
        TILE(4, 4);
        TILE(4, 5);
        TILE(4, 6);
#endif
    }
#undef TILE
}
#endif

/* One panel for all rows: its weights stay in L1 while they pass over them. Rows are shared out evenly, since
 * tiles of 3 + 3 rows beat 4 + 2. */
static void multiply_panel(tile_job job, int rows, int blocks, int cols) {
    int32_t* out = job.out;
    const int8_t* weight = job.weight;
    const int32_t* correction = job.correction;
    for (int row = 0; row < rows;) {
        int together = next_share(divide_up(rows - row, ROWS_TOGETHER), TILE_ROWS / ROWS_TOGETHER);
        int tile_rows = smaller(together * ROWS_TOGETHER, rows - row);
        for (int block = 0; block < blocks;) {
            int tile = next_share(blocks - block, tile_blocks[tile_rows - 1]);
            job.out = out + (size_t)row * job.out_stride + block * LANES;
            job.weight = weight + block * LANES * GROUP;
            job.correction = correction != NULL ? correction + block * LANES : NULL;
            job.cols = smaller(cols - block * LANES, tile * LANES);
            run_tile(tile_rows, tile, &job);
            block += tile;
        }
        job.groups += (size_t)tile_rows * job.group_stride;
        row += tile_rows;
    }
}

/* All columns for up to CHUNK_ROWS rows whose groups from `step` on are ready. */
static void multiply_rows(tile_job job, const int8_t* weight, int step, int steps_all, int rows, int N) {
    for (int col = 0, left = divide_up(N, LANES); left > 0;) {
        int blocks = next_share(left, PANEL_BLOCKS);
        job.step_stride = (size_t)blocks * LANES * GROUP;
        job.weight = weight + (size_t)step * job.step_stride;
        multiply_panel(job, rows, blocks, N - col);
        weight += (size_t)steps_all * job.step_stride;
        if (job.correction != NULL) job.correction += blocks * LANES;
        job.out += blocks * LANES;
        left -= blocks;
        col += blocks * LANES;
    }
}

/* C = A @ B^T */
static void matmul(int32_t* out, const int8_t* inp, const void* packed, int M, int N, int K) {
    _Alignas(CPU_VNNI_ALIGNMENT) GROUP_TYPE groups[CHUNK_ROWS * CHUNK_STEPS];
    const int8_t* weight = (const int8_t*)packed + weight_start(N);
    int steps_all = divide_up(K, GROUP);
    for (int row = 0; row < M; row += CHUNK_ROWS) {
        int rows = smaller(M - row, CHUNK_ROWS);
        int step = 0;
        do { /* once even for K = 0, whose results are zeros */
            int steps = smaller(steps_all - step, CHUNK_STEPS);
            tile_job job = {
                .out = out + (size_t)row * N,
                .out_stride = (size_t)N,
                .groups = groups,
                .group_stride = matmul_i8_round_up((size_t)steps, CPU_VNNI_ALIGNMENT / sizeof(GROUP_TYPE)),
                .steps = steps,
                .correction = step == 0 ? packed : NULL};
            for (int r = 0; r < rows; r++) {
                const int8_t* source = inp + (size_t)(row + r) * K + (size_t)step * GROUP;
                GROUP_TYPE* first = groups + (size_t)(r - r % ROWS_TOGETHER) * job.group_stride;
                widen_row(first + r % ROWS_TOGETHER, source, smaller(K - step * GROUP, steps * GROUP));
            }
            multiply_rows(job, weight, step, steps_all, rows, N);
            step += steps;
        } while (step < steps_all);
    }
}

#endif
