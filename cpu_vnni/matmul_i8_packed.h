/* How vector kernels pack weights. Before it a file defines LANES, the columns of a block; GROUP, the weights
 * of a column that lie side by side; PANEL_BLOCKS, the most blocks of a panel; OFFSET, what its activations
 * are moved up by.
 *
 * Packed weights, with LANES columns to a block and up to PANEL_BLOCKS blocks to a panel, both tails padded
 * by zeros:
 *
 *     int32 correction[blocks][LANES]                     -OFFSET * sum of the column's weights
 *     int8  weight[panels][steps][blocks][LANES][GROUP]   panels differ by one block at most
 *
 * so that one register load gives GROUP weights of LANES columns, and one row reads the whole matrix from
 * front to back: a single stream, which the processor fetches ahead.
 */
#ifndef CPU_VNNI_MATMUL_I8_PACKED_H
#define CPU_VNNI_MATMUL_I8_PACKED_H

#include <string.h>

#include "matmul_i8.h"

static inline int divide_up(int a, int b) {
    return a / b + (a % b != 0);
}
static inline int smaller(int a, int b) {
    return a < b ? a : b;
}

static size_t packed_size(int N, int K) {
    size_t columns = (size_t)divide_up(N, LANES) * LANES;
    size_t bytes = columns * (size_t)divide_up(K, GROUP) * GROUP;
    return matmul_i8_round_up(columns * sizeof(int32_t), CPU_VNNI_ALIGNMENT) +
           matmul_i8_round_up(bytes, CPU_VNNI_ALIGNMENT);
}

static size_t weight_start(int N) {
    return matmul_i8_round_up((size_t)divide_up(N, LANES) * LANES * sizeof(int32_t), CPU_VNNI_ALIGNMENT);
}

/* Blocks of the next panel or tile, when `left` blocks are shared out evenly to as few as hold `most` each.
 */
static inline int next_share(int left, int most) {
    return divide_up(left, divide_up(left, most));
}

static void pack(void* packed, const int8_t* weight, int N, int K) {
    int32_t* correction = packed;
    int8_t* panel = (int8_t*)packed + weight_start(N);
    int steps = divide_up(K, GROUP);
    memset(packed, 0, packed_size(N, K));
    for (int block = 0, left = divide_up(N, LANES); left > 0;) {
        int blocks = next_share(left, PANEL_BLOCKS);
        for (int n = block * LANES; n < N && n < (block + blocks) * LANES; n++) {
            int8_t* column = panel + (size_t)(n - block * LANES) * GROUP;
            int32_t sum = 0;
            for (int k = 0; k < K; k++) {
                int8_t w = weight[(size_t)n * K + k];
                column[(size_t)(k / GROUP) * blocks * LANES * GROUP + k % GROUP] = w;
                sum += w;
            }
            correction[n] = -OFFSET * sum;
        }
        panel += (size_t)steps * blocks * LANES * GROUP;
        block += blocks;
        left -= blocks;
    }
}

#endif
