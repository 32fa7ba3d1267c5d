// Matrix products in bf16 with float32 sums (bfmmla), the other operators as for NEON.
// An element of a packed operand is four bf16 numbers that follow each other along the summed dimension.
// bfmmla multiplies two rows with two columns, four deep: 16 products in one instruction, where bfdot has 8
// and float32 has 4. Both operands are packed with two rows, or columns, side by side in one register.
#if defined(__aarch64__)
#include <arm_neon.h>

#include <cstdint>
#include <cstdlib>

#include "large_pages.h"
#include "ops.h"

#define PLM_TILE_ROWS 12
#define PLM_VECTOR_BYTES 32  // of attention: 32 registers of 16 bytes

namespace plm::train {
namespace neonbf16 {
#include "ops/ops.inl"

typedef uint64_t Element;
constexpr int kCols = 8, kSummands = 4;
#include "ops/matmul_tile.inl"

// Both operands are in tiles: a step's rows lie side by side.
template <int rows>
static void tile(float* out, int ldc, const uint64_t* a, size_t, size_t, const uint64_t* panel, int steps,
                 bool accumulate) {
    constexpr int pairs = (rows + 1) / 2;
    float32x4_t sum[pairs][4];
#pragma GCC unroll 6
    for (int p = 0; p < pairs; ++p)
        for (int c = 0; c < 4; ++c) sum[p][c] = vdupq_n_f32(0);
    for (int k = 0; k < steps; ++k, a += PLM_TILE_ROWS, panel += kCols) {
        bfloat16x8_t b[4];
#pragma GCC unroll 4
        for (int c = 0; c < 4; ++c) b[c] = vreinterpretq_bf16_u64(vld1q_u64(panel + 2 * c));
#pragma GCC unroll 6
        for (int p = 0; p < pairs; ++p) {
            const bfloat16x8_t x = vreinterpretq_bf16_u64(vld1q_u64(a + 2 * p));
#pragma GCC unroll 4
            for (int c = 0; c < 4; ++c) sum[p][c] = vbfmmlaq_f32(sum[p][c], x, b[c]);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
        for (int h = 0; h < 2; ++h) {  // a sum holds two rows of two columns
            const float64x2_t low = vreinterpretq_f64_f32(sum[r / 2][2 * h]);
            const float64x2_t high = vreinterpretq_f64_f32(sum[r / 2][2 * h + 1]);
            const float32x4_t four =
                vreinterpretq_f32_f64(r % 2 ? vzip2q_f64(low, high) : vzip1q_f64(low, high));
            float* o = out + static_cast<size_t>(r) * ldc + 4 * h;
            vst1q_f32(o, accumulate ? vaddq_f32(vld1q_f32(o), four) : four);
        }
    }
}

static inline uint64_t rounded(float32x4_t x) {
    return vget_lane_u64(vreinterpret_u64_bf16(vcvt_bf16_f32(x)), 0);
}

// The first n of four numbers, zeros behind them.
static inline float32x4_t load_first(const float* x, int n) {
    if (n >= 4) return vld1q_f32(x);
    float some[4] = {};
    for (int i = 0; i < n; ++i) some[i] = x[i];
    return vld1q_f32(some);
}

// x (rows, depth), summed along its rows, in tiles of `width` rows: [tiles][steps][width]. What a last tile
// lacks is zeros.
static void pack_along(uint64_t* out, const float* x, int rows, int depth, int width) {
    const int steps = (depth + 3) / 4;
    for (int top = 0; top < rows; top += width, out += static_cast<size_t>(steps) * width) {
        for (int r = 0; r < width; ++r) {
            const float* row = x + static_cast<size_t>(top + r) * depth;
            for (int k = 0; k < steps; ++k)
                out[static_cast<size_t>(k) * width + r] =
                    top + r < rows ? rounded(load_first(row + 4 * k, depth - 4 * k)) : 0;
        }
    }
}

// The same of the transpose of x (depth, rows): four numbers of a column become one element.
static void pack_across(uint64_t* out, const float* x, int rows, int depth, int width) {
    const int steps = (depth + 3) / 4;
    for (int top = 0; top < rows; top += width, out += static_cast<size_t>(steps) * width) {
        for (int k = 0; k < steps; ++k) {
            for (int r = 0; r < width; r += 4) {
                float32x4_t line[4];
                for (int i = 0; i < 4; ++i) {
                    const bool there = 4 * k + i < depth && top + r < rows;
                    line[i] = there ? load_first(x + static_cast<size_t>(4 * k + i) * rows + top + r,
                                                 rows - top - r)
                                    : vdupq_n_f32(0);
                }
                const float32x4x2_t low = vzipq_f32(line[0], line[2]), high = vzipq_f32(line[1], line[3]);
                const float32x4x2_t first = vzipq_f32(low.val[0], high.val[0]);
                const float32x4x2_t last = vzipq_f32(low.val[1], high.val[1]);
                uint64_t* o = out + static_cast<size_t>(k) * width + r;
                o[0] = rounded(first.val[0]), o[1] = rounded(first.val[1]);
                o[2] = rounded(last.val[0]), o[3] = rounded(last.val[1]);
            }
        }
    }
}

using Pack = void (*)(uint64_t* out, const float* x, int rows, int depth, int width);

static const uint64_t* packed(Scratch& scratch, Pack pack, const float* x, int rows, int depth, int width) {
    const size_t tiles = static_cast<size_t>((rows + width - 1) / width) * width;
    auto* out = static_cast<uint64_t*>(scratch.reserve(sizeof(uint64_t) * tiles * ((depth + 3) / 4)));
    pack(out, x, rows, depth, width);
    return out;
}

// Packed operands of activations go through the second cache in pieces of this many rows.
constexpr int kRows = 2 * kDepth;

// C (M, N) (+)= A (M, K) @ B, B packed
static void product_by_rows(float* out, const float* a, const uint64_t* panels, int M, int N, int K,
                            bool accumulate) {
    for (int m = 0; m < M; m += kHeight) {
        const int rows = M - m < kHeight ? M - m : kHeight;
        const uint64_t* tiles =
            packed(scratch_a, pack_along, a + static_cast<size_t>(m) * K, rows, K, PLM_TILE_ROWS);
        product(out + static_cast<size_t>(m) * N, tiles, true, panels, rows, N, (K + 3) / 4, accumulate);
    }
}

static void matmul_forward_bf16(float* out, const float* inp, const float* weight, int M, int N, int K,
                                bool accumulate) {
    product_by_rows(out, inp, packed(scratch_b, pack_along, weight, N, K, kCols), M, N, K, accumulate);
}

static void matmul_backward_input_bf16(float* dinp, const float* dout, const float* weight, int M, int N,
                                       int K, bool accumulate) {
    product_by_rows(dinp, dout, packed(scratch_b, pack_across, weight, K, N, kCols), M, K, N, accumulate);
}

static void matmul_backward_weight_bf16(float* dweight, const float* dout, const float* inp, int M, int N,
                                        int K) {
    for (int m = 0; m < M; m += kRows) {
        const int rows = M - m < kRows ? M - m : kRows;
        const uint64_t* tiles =
            packed(scratch_a, pack_across, dout + static_cast<size_t>(m) * N, N, rows, PLM_TILE_ROWS);
        const uint64_t* panels =
            packed(scratch_b, pack_across, inp + static_cast<size_t>(m) * K, K, rows, kCols);
        product(dweight, tiles, true, panels, N, K, (rows + 3) / 4, true);
    }
}

static void matmul_gram_bf16(float* out, const float* inp, int M, int K, bool transposed) {
    const Pack pack = transposed ? pack_across : pack_along;
    const int side = transposed ? K : M, depth = transposed ? M : K;
    const uint64_t* tiles = packed(scratch_a, pack, inp, side, depth, PLM_TILE_ROWS);
    const uint64_t* panels = packed(scratch_b, pack, inp, side, depth, kCols);
    product(out, tiles, true, panels, side, side, (depth + 3) / 4, false, true);
    for (int m = 1; m < side; ++m)  // below the diagonal as above it
        for (int n = 0; n < m; ++n)
            out[static_cast<size_t>(m) * side + n] = out[static_cast<size_t>(n) * side + m];
}

}  // namespace neonbf16

PLM_OPS_TABLE(neonbf16, bf16);
}  // namespace plm::train
#endif
