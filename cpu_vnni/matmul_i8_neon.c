/* matmul_i8 for Arm CPUs without the dot product (Cortex-A53, A57, A72): eight products of bytes in 16 bits
 * (smull), added by pairs to four sums of 32 bits (sadalp).
 *
 * Two products are never added in 16 bits, as smlal would: 2 * 128 * 128 is one too much. One register
 * holds 2 weights of each of 4 columns, and the same 2 activations four times.
 */
#if defined(__aarch64__)

#include "matmul_i8_lanes128.h"

#define GROUP 2
#define OFFSET 0
#define TILE_ROWS 4
#define PANEL_BLOCKS 6
#define GROUP_TYPE int8x8_t
#define WEIGHT_TYPE int8x8_t
static const int tile_blocks[TILE_ROWS] = {6, 6, 6, 5};

/* A group is its two activations four times. */
static void widen_row(int8x8_t* groups, const int8_t* inp, int K) {
    for (int k = 0; k < K; k += GROUP) {
        const uint16_t first = (uint8_t)inp[k], second = k + 1 < K ? (uint8_t)inp[k + 1] : 0;
        groups[k / GROUP] = vreinterpret_s8_u16(vdup_n_u16((uint16_t)(first | second << 8)));
    }
}

static inline int8x8_t broadcast(int8x8_t pairs) {
    return pairs;
}

static inline int8x8_t load_weight(const int8_t* weight) {
    return vld1_s8(weight);
}

static inline vector multiply_add(vector sum, int8x8_t a, int8x8_t w) {
    return vpadalq_s16(sum, vmull_s8(a, w));
}

#include "matmul_i8_panels.h"

const cpu_vnni_kernels cpu_vnni_neon = {"neon", packed_size, pack, matmul};

#endif
