/* matmul_i8 with Arm's matrix multiplication (smmla; Neoverse V1, N2, Cortex-A510 and later): the products of
 * two rows with two columns, 8 deep, 32 in one instruction.
 *
 * A block is 4 columns in two registers, each 8 weights of 2 columns; the groups of two rows lie side by side
 * in one register. A tile is 4 pairs of rows x 3 blocks: 10 loads feed 24 multiplications, twice what sdot
 * does with as many. Of one row half of a smmla would be wasted: it takes sdot over the same weights, whose
 * four sums are then two columns in two halves each.
 */
#if defined(__aarch64__)

#include "matmul_i8_lanes128.h"

#define GROUP 8
#define OFFSET 0
#define ROWS_TOGETHER 2
#define GROUP_TYPE int64_t
#define TILE_ROWS 8
#define PANEL_BLOCKS 6
#define PAIR_BLOCKS 3
static const int tile_blocks[TILE_ROWS] = {PANEL_BLOCKS, PAIR_BLOCKS, PAIR_BLOCKS, PAIR_BLOCKS,
                                           PAIR_BLOCKS,  PAIR_BLOCKS, PAIR_BLOCKS, PAIR_BLOCKS};

/* Every second group: the others belong to the row beside this one. */
static void widen_row(int64_t* groups, const int8_t* inp, int K) {
    int k = 0;
    for (; k + GROUP <= K; k += GROUP) memcpy(groups + k / GROUP * ROWS_TOGETHER, inp + k, GROUP);
    if (k < K) {
        int64_t rest = 0;
        memcpy(&rest, inp + k, (size_t)(K - k));
        groups[k / GROUP * ROWS_TOGETHER] = rest;
    }
}

#include "matmul_i8_panels.h"

/* Sums start from zero, as the activations have no offset, or from what an earlier chunk of K wrote. */
static inline vector start_sums(const tile_job* job, int row, int block, int cols) {
    if (job->correction != NULL) return vdupq_n_s32(0);
    return load_sums(job->out + (size_t)row * job->out_stride + block * LANES, cols);
}

static inline __attribute__((always_inline)) void row_tile(const int blocks, const tile_job* job) {
    vector sum[PANEL_BLOCKS][2];
    const int last = blocks - 1, last_cols = job->cols - last * LANES;
#pragma GCC unroll 6
    for (int b = 0; b < blocks; b++) sum[b][0] = sum[b][1] = vdupq_n_s32(0);
    const int8_t* weight = job->weight;
    for (int step = 0; step < job->steps; step++, weight += job->step_stride) {
        const int8x16_t a = vreinterpretq_s8_s64(vdupq_n_s64(job->groups[step * ROWS_TOGETHER]));
#pragma GCC unroll 6
        for (int b = 0; b < blocks; b++) {
            const int8_t* w = weight + b * LANES * GROUP;
            int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 16);
            LOADED_TOGETHER(w0, w1);
            sum[b][0] = vdotq_s32(sum[b][0], w0, a);
            sum[b][1] = vdotq_s32(sum[b][1], w1, a);
        }
    }
#pragma GCC unroll 6
    for (int b = 0; b < blocks; b++) {
        const int cols = b < last ? LANES : last_cols;
        vector sums = vaddq_s32(start_sums(job, 0, b, cols), vpaddq_s32(sum[b][0], sum[b][1]));
        store_sums(job->out + b * LANES, sums, cols);
    }
}

static inline __attribute__((always_inline)) void pairs_tile(const int pairs, const int blocks,
                                                             const tile_job* job, int rows) {
    vector sum[TILE_ROWS / 2][PAIR_BLOCKS][2];
    const int last = blocks - 1, last_cols = job->cols - last * LANES;
#pragma GCC unroll 4
    for (int p = 0; p < pairs; p++)
#pragma GCC unroll 3
        for (int b = 0; b < blocks; b++) sum[p][b][0] = sum[p][b][1] = vdupq_n_s32(0);
    const int8_t* weight = job->weight;
    for (int step = 0; step < job->steps; step++, weight += job->step_stride) {
        int8x16_t a[TILE_ROWS / 2];
#pragma GCC unroll 4
        for (int p = 0; p < pairs; p++) {
            const int64_t* both = job->groups + ((size_t)p * job->group_stride + (size_t)step) * ROWS_TOGETHER;
            a[p] = vreinterpretq_s8_s64(vld1q_s64(both));
        }
#pragma GCC unroll 3
        for (int b = 0; b < blocks; b++) {
            const int8_t* w = weight + b * LANES * GROUP;
            int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 16);
            LOADED_TOGETHER(w0, w1);
#pragma GCC unroll 4
            for (int p = 0; p < pairs; p++) {
                sum[p][b][0] = vmmlaq_s32(sum[p][b][0], a[p], w0);
                sum[p][b][1] = vmmlaq_s32(sum[p][b][1], a[p], w1);
            }
        }
    }
#pragma GCC unroll 4
    for (int p = 0; p < pairs; p++)
#pragma GCC unroll 3
        for (int b = 0; b < blocks; b++) {
            const int cols = b < last ? LANES : last_cols;
            const int64x2_t low = vreinterpretq_s64_s32(sum[p][b][0]);
            const int64x2_t high = vreinterpretq_s64_s32(sum[p][b][1]);
            const vector row[2] = {vreinterpretq_s32_s64(vzip1q_s64(low, high)),
                                   vreinterpretq_s32_s64(vzip2q_s64(low, high))};
            for (int r = 2 * p; r < smaller(2 * p + 2, rows); r++) {
                int32_t* out = job->out + (size_t)r * job->out_stride + b * LANES;
                store_sums(out, vaddq_s32(start_sums(job, r, b, cols), row[r % 2]), cols);
            }
        }
}

static void run_tile(int rows, int blocks, const tile_job* job) {
    if (rows == 1) {
        switch (blocks) {
            case 1: row_tile(1, job); break;
            case 2: row_tile(2, job); break;
            case 3: row_tile(3, job); break;
            case 4: row_tile(4, job); break;
            case 5: row_tile(5, job); break;
            case 6: row_tile(6, job); break;
        }
        return;
    }
#define TILE(p, b) \
    case 10 * p + b: pairs_tile(p, b, job, rows); break
    switch (10 * ((rows + 1) / 2) + blocks) {
        TILE(1, 1);
        TILE(1, 2);
        TILE(1, 3);
        TILE(2, 1);
        TILE(2, 2);
        TILE(2, 3);
        TILE(3, 1);
        TILE(3, 2);
        TILE(3, 3);
        TILE(4, 1);
        TILE(4, 2);
        TILE(4, 3);
    }
#undef TILE
}

const cpu_vnni_kernels cpu_vnni_i8mm = {"i8mm", packed_size, pack, matmul};

#endif
