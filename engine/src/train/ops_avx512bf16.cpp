// Matrix products in bf16 with float32 sums (vdpbf16ps), the other operators as for AVX-512.
// An element of a packed operand is a pair of bf16 numbers that follow each other along the summed dimension.
#if defined(__x86_64__)
// GCC 12 warns falsely inside its own intrinsics headers (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include <cstdint>
#include <cstdlib>

#include "large_pages.h"
#include "ops.h"

#define PLM_TILE_ROWS 12

namespace plm::train {
namespace avx512bf16 {
#include "ops/ops.inl"

typedef uint32_t Element;
constexpr int kCols = 32, kSummands = 2;
#include "ops/matmul_tile.inl"

static inline __m512bh as_bf16(__m512i x) {
    return (__m512bh)x;
}

template <int rows>
static void tile(float* out, int ldc, const uint32_t* a, size_t a_row, size_t a_step, const uint32_t* panel,
                 int steps, bool accumulate) {
    __m512 sum[rows][2];
#pragma GCC unroll 12
    for (int r = 0; r < rows; ++r) {
        sum[r][0] = sum[r][1] = _mm512_setzero_ps();
        __builtin_prefetch(out + static_cast<size_t>(r) * ldc, 1);
        __builtin_prefetch(out + static_cast<size_t>(r) * ldc + 16, 1);
    }
    for (int k = 0; k < steps; ++k) {
        __m512bh b0 = as_bf16(_mm512_loadu_si512(panel + static_cast<size_t>(k) * kCols));
        __m512bh b1 = as_bf16(_mm512_loadu_si512(panel + static_cast<size_t>(k) * kCols + 16));
#pragma GCC unroll 12
        for (int r = 0; r < rows; ++r) {
            __m512bh x = as_bf16(_mm512_set1_epi32(static_cast<int>(a[r * a_row + k * a_step])));
            sum[r][0] = _mm512_dpbf16_ps(sum[r][0], x, b0);
            sum[r][1] = _mm512_dpbf16_ps(sum[r][1], x, b1);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; ++r) {
        for (int h = 0; h < 2; ++h) {
            float* o = out + static_cast<size_t>(r) * ldc + h * 16;
            _mm512_storeu_ps(o, accumulate ? _mm512_add_ps(_mm512_loadu_ps(o), sum[r][h]) : sum[r][h]);
        }
    }
}

static inline __mmask16 first_lanes(int n) {
    return static_cast<__mmask16>(n >= 16 ? 0xFFFF : (1u << n) - 1);
}

// 16 pairs (low[i], high[i]) of the lanes below n; high may be null for the odd last row.
static inline __m512i pair_rows(const float* low, const float* high, int n) {
    __mmask16 mask = first_lanes(n);
    __m512i l = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, low)));
    if (high == nullptr) return l;
    __m512i h = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, high)));
    return _mm512_or_si512(l, _mm512_slli_epi32(h, 16));
}

// 16 pairs of neighbours x[0..31] of a row of which n numbers are left
static inline __m512i pair_neighbours(const float* x, int n) {
    __m512 low = _mm512_maskz_loadu_ps(first_lanes(n), x);
    __m512 high = n > 16 ? _mm512_maskz_loadu_ps(first_lanes(n - 16), x + 16) : _mm512_setzero_ps();
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

// A (rows, K) with its numbers paired along K: (rows, ceil(K / 2))
static const uint32_t* pair_a(const float* a, int rows, int K) {
    int half = (K + 1) / 2;
    uint32_t* out = static_cast<uint32_t*>(scratch_a.reserve(sizeof(uint32_t) * rows * half));
    for (int m = 0; m < rows; ++m) {
        for (int k = 0; k < K; k += 32) {
            int n = (K - k + 1) / 2;
            _mm512_mask_storeu_epi32(out + static_cast<size_t>(m) * half + k / 2, first_lanes(n),
                                     pair_neighbours(a + static_cast<size_t>(m) * K + k, K - k));
        }
    }
    return out;
}

// Rows that are packed together: enough that whole cache lines are written, and few enough that they are read
// side by side as the processor's prefetching expects.
constexpr int kPackRows = 8;

// A^T from A (M, N) in tiles, paired along M. Four tiles at a time are whole cache lines of A.
static const uint32_t* pair_a_transposed(const float* a, int M, int N) {
    int half = (M + 1) / 2, tiles = (N + PLM_TILE_ROWS - 1) / PLM_TILE_ROWS;
    size_t tile_size = static_cast<size_t>(half) * PLM_TILE_ROWS;
    uint32_t* out = static_cast<uint32_t*>(scratch_a.reserve(sizeof(uint32_t) * tiles * tile_size));
    for (int top = 0; top < M; top += kPackRows) {
        int bottom = top + kPackRows < M ? top + kPackRows : M;
        for (int first = 0; first < tiles; first += 4) {
            int last = first + 4 < tiles ? first + 4 : tiles;
            for (int m = top; m < bottom; m += 2) {
                for (int i = first; i < last; ++i) {
                    int n = i * PLM_TILE_ROWS, rows = N - n < PLM_TILE_ROWS ? N - n : PLM_TILE_ROWS;
                    const float* low = a + static_cast<size_t>(m) * N + n;
                    _mm512_mask_storeu_epi32(out + i * tile_size + m / 2 * PLM_TILE_ROWS, first_lanes(rows),
                                             pair_rows(low, m + 1 < M ? low + N : nullptr, rows));
                }
            }
        }
    }
    return out;
}

// Panels from the rows of B (K, N), paired along K
static const uint32_t* pack_rows(const float* b, int K, int N) {
    int half = (K + 1) / 2, panels = (N + kCols - 1) / kCols;
    uint32_t* out = static_cast<uint32_t*>(scratch_b.reserve(sizeof(uint32_t) * panels * kCols * half));
    for (int top = 0; top < K; top += kPackRows) {
        int bottom = top + kPackRows < K ? top + kPackRows : K;
        for (int n = 0; n < panels * kCols; n += 16) {
            uint32_t* panel = out + static_cast<size_t>(n / kCols) * kCols * half + n % kCols;
            for (int k = top; k < bottom; k += 2) {
                const float* low = b + static_cast<size_t>(k) * N + n;
                __m512i pairs =
                    n < N ? pair_rows(low, k + 1 < K ? low + N : nullptr, N - n) : _mm512_setzero_si512();
                _mm512_storeu_si512(panel + static_cast<size_t>(k / 2) * kCols, pairs);
            }
        }
    }
    return out;
}

// 16 x 16 transposition of 32-bit lanes
static inline void transpose16(__m512i* r) {
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; ++i) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

// Panels of B = weight^T from weight (N, K), paired along K
static const uint32_t* pack_transposed(const float* weight, int N, int K) {
    int half = (K + 1) / 2, panels = (N + kCols - 1) / kCols;
    uint32_t* out = static_cast<uint32_t*>(scratch_b.reserve(sizeof(uint32_t) * panels * kCols * half));
    for (int n = 0; n < panels * kCols; n += 16) {
        uint32_t* panel = out + static_cast<size_t>(n / kCols) * kCols * half + n % kCols;
        for (int k = 0; k < K; k += 32) {
            __m512i block[16];
            for (int i = 0; i < 16; ++i) {
                block[i] = n + i < N ? pair_neighbours(weight + static_cast<size_t>(n + i) * K + k, K - k)
                                     : _mm512_setzero_si512();
            }
            transpose16(block);
            int steps = half - k / 2 < 16 ? half - k / 2 : 16;
            for (int s = 0; s < steps; ++s)
                _mm512_storeu_si512(panel + static_cast<size_t>(k / 2 + s) * kCols, block[s]);
        }
    }
    return out;
}

// Packed operands of activations go through the second cache in pieces of this many rows: they are written
// and read again before they leave it.
constexpr int kRows = 2 * kDepth;

// C (M, N) (+)= A (M, K) @ B, B packed
static void product_by_rows(float* out, const float* a, const uint32_t* panels, int M, int N, int K,
                            bool accumulate) {
    for (int m = 0; m < M; m += kHeight) {
        int rows = M - m < kHeight ? M - m : kHeight;
        product(out + static_cast<size_t>(m) * N, pair_a(a + static_cast<size_t>(m) * K, rows, K), false,
                panels, rows, N, (K + 1) / 2, accumulate);
    }
}

static void matmul_forward_bf16(float* out, const float* inp, const float* weight, int M, int N, int K,
                                bool accumulate) {
    product_by_rows(out, inp, pack_transposed(weight, N, K), M, N, K, accumulate);
}

static void matmul_backward_input_bf16(float* dinp, const float* dout, const float* weight, int M, int N,
                                       int K, bool accumulate) {
    product_by_rows(dinp, dout, pack_rows(weight, N, K), M, K, N, accumulate);
}

static void matmul_backward_weight_bf16(float* dweight, const float* dout, const float* inp, int M, int N,
                                        int K) {
    for (int m = 0; m < M; m += kRows) {
        int rows = M - m < kRows ? M - m : kRows;
        product(dweight, pair_a_transposed(dout + static_cast<size_t>(m) * N, rows, N), true,
                pack_rows(inp + static_cast<size_t>(m) * K, rows, K), N, K, (rows + 1) / 2, true);
    }
}

// Below the diagonal as above it.
static void mirror(float* out, int side) {
    for (int m = 0; m < side; m += 16) {
        for (int n = 0; n <= m; n += 16) {
            __m512i block[16];
            __mmask16 below = first_lanes(side - m), across = first_lanes(side - n);
            for (int i = 0; i < 16; ++i) {
                block[i] = n + i < side
                               ? _mm512_maskz_loadu_epi32(below, out + static_cast<size_t>(n + i) * side + m)
                               : _mm512_setzero_si512();
            }
            transpose16(block);
            for (int i = 0; i < 16 && m + i < side; ++i) {
                __mmask16 kept = m == n ? static_cast<__mmask16>((1u << i) - 1) : across;
                _mm512_mask_storeu_epi32(out + static_cast<size_t>(m + i) * side + n, kept, block[i]);
            }
        }
    }
}

static void matmul_gram_bf16(float* out, const float* inp, int M, int K, bool transposed) {
    if (transposed) {
        product(out, pair_a_transposed(inp, M, K), true, pack_rows(inp, M, K), K, K, (M + 1) / 2, false,
                true);
    } else {
        int half = (K + 1) / 2;
        product(out, pair_a(inp, M, K), false, pack_transposed(inp, M, K), M, M, half, false, true);
    }
    mirror(out, transposed ? K : M);
}

}  // namespace avx512bf16

PLM_OPS_TABLE(avx512bf16, bf16);
}  // namespace plm::train
#endif
