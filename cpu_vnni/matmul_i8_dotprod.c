/* matmul_i8 with Arm's dot product (sdot; Cortex-A55, A76, Neoverse N1 and later): 16 signed products, added
 * by fours to four sums, without saturating.
 *
 * Signed by signed, so activations are fed as they are. One register holds 4 weights of each of 4 columns, and
 * the instruction takes the same 4 activations for all of them out of any quarter of another: one load brings
 * the activations of 4 steps. A tile of 4 x 6 sums takes 24 of the 32 registers: 28 loads feed 96
 * multiplications.
 */
#if defined(__aarch64__)

#include "matmul_i8_lanes128.h"

#define GROUP 4
#define OFFSET 0
#define TILE_ROWS 4
#define PANEL_BLOCKS 6
#define OWN_STEPS
static const int tile_blocks[TILE_ROWS] = {6, 6, 6, 6};

static void widen_row(int32_t* groups, const int8_t* inp, int K) {
    if (K % GROUP != 0) groups[K / GROUP] = 0;
    memcpy(groups, inp, (size_t)K);
}

#include "matmul_i8_panels.h"

/* The activations of a step are quarter `lane` of a[row], a constant as the instruction wants it. */
#define MULTIPLY_STEP(lane)                                                                      \
    _Pragma("GCC unroll 3") for (int b = 0; b < blocks; b += 2) {                                \
        int8x16_t w0 = vld1q_s8(weight + b * LANES * GROUP), w1 = w0;                             \
        if (b + 1 < blocks) w1 = vld1q_s8(weight + (b + 1) * LANES * GROUP);                     \
        LOADED_TOGETHER(w0, w1);                                                                 \
        _Pragma("GCC unroll 4") for (int r = 0; r < rows; r++) {                                 \
            const int8x16_t x = vreinterpretq_s8_s32(a[r]);                                      \
            sum[r][b] = vdotq_laneq_s32(sum[r][b], w0, x, lane);                                 \
            if (b + 1 < blocks) sum[r][b + 1] = vdotq_laneq_s32(sum[r][b + 1], w1, x, lane);     \
        }                                                                                        \
    }                                                                                            \
    weight += job->step_stride

static inline __attribute__((always_inline)) void multiply_steps(tile_sums sum, const int rows,
                                                                 const int blocks, const tile_job* job) {
    const int8_t* weight = job->weight;
    vector a[TILE_ROWS];
    int step = 0;
    for (; step + 4 <= job->steps; step += 4) {
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) a[r] = vld1q_s32(job->groups + (size_t)r * job->group_stride + step);
        MULTIPLY_STEP(0);
        MULTIPLY_STEP(1);
        MULTIPLY_STEP(2);
        MULTIPLY_STEP(3);
    }
    for (; step < job->steps; step++) {
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++)
            a[r] = vdupq_n_s32(job->groups[(size_t)r * job->group_stride + (size_t)step]);
        MULTIPLY_STEP(0);
    }
}

const cpu_vnni_kernels cpu_vnni_dotprod = {"dotprod", packed_size, pack, matmul};

#endif
