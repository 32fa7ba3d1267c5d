// float32 products on vectors of PLM_LANES floats: a tile is PLM_TILE_ROWS rows by two vectors.
// An element of a packed operand is one float.

typedef float Element;
typedef float Vector __attribute__((vector_size(PLM_LANES * 4), aligned(4)));
constexpr int kCols = 2 * PLM_LANES, kSummands = 1;
#include "matmul_tile.inl"

template <int rows>
static void tile(float* out, int ldc, const float* a, size_t a_row, size_t a_step, const float* panel,
                 int steps, bool accumulate) {
    Vector sum[rows][2] = {};
#pragma GCC unroll 12
    for (int r = 0; r < rows; ++r) {
        for (int c = 0; c < kCols; c += 16) __builtin_prefetch(out + static_cast<size_t>(r) * ldc + c, 1);
    }
    for (int k = 0; k < steps; ++k) {
        Vector b0 = *reinterpret_cast<const Vector*>(panel + static_cast<size_t>(k) * kCols);
        Vector b1 = *reinterpret_cast<const Vector*>(panel + static_cast<size_t>(k) * kCols + PLM_LANES);
#pragma GCC unroll 12
        for (int r = 0; r < rows; ++r) {
            float x = a[r * a_row + k * a_step];
            sum[r][0] += x * b0;
            sum[r][1] += x * b1;
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; ++r) {
        for (int h = 0; h < 2; ++h) {
            Vector* o = reinterpret_cast<Vector*>(out + static_cast<size_t>(r) * ldc + h * PLM_LANES);
            *o = accumulate ? *o + sum[r][h] : sum[r][h];
        }
    }
}

// Four rows of four numbers: what every instruction set can transpose in registers.
typedef float Four __attribute__((vector_size(16), aligned(4), may_alias));

// out[j][i] = inp[i][j] for i, j < 4
static inline void transpose4(float* out, size_t out_stride, const float* inp, size_t inp_stride) {
    Four r[4];
    for (int i = 0; i < 4; ++i) r[i] = *reinterpret_cast<const Four*>(inp + i * inp_stride);
    Four low01 = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
    Four low23 = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
    Four high01 = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
    Four high23 = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
    const Four columns[4] = {__builtin_shufflevector(low01, low23, 0, 1, 4, 5),
                             __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
                             __builtin_shufflevector(high01, high23, 0, 1, 4, 5),
                             __builtin_shufflevector(high01, high23, 2, 3, 6, 7)};
    for (int i = 0; i < 4; ++i) *reinterpret_cast<Four*>(out + i * out_stride) = columns[i];
}

// Rows that are packed together: enough that whole cache lines are written, and few enough that they are read
// side by side as the processor's prefetching expects.
constexpr int kPackRows = 8;

// Panels of B from rows of B (steps, N)
static const float* pack_rows(const float* b, int N, int steps) {
    int panels = (N + kCols - 1) / kCols;
    float* out = static_cast<float*>(scratch_b.reserve(sizeof(float) * panels * kCols * steps));
    for (int top = 0; top < steps; top += kPackRows) {
        int bottom = steps - top < kPackRows ? steps : top + kPackRows;
        for (int n = 0; n < N; n += kCols) {
            int cols = N - n < kCols ? N - n : kCols;
            for (int k = top; k < bottom; ++k) {
                float* o = out + static_cast<size_t>(n) * steps + static_cast<size_t>(k) * kCols;
                const float* from = b + static_cast<size_t>(k) * N + n;
                if (cols == kCols) {
                    __builtin_memcpy(o, from, kCols * sizeof(float));
                } else {
                    for (int c = 0; c < kCols; ++c) o[c] = c < cols ? from[c] : 0;
                }
            }
        }
    }
    return out;
}

// Panels of B from its transpose (N, steps)
static const float* pack_transposed(const float* b, int N, int steps) {
    int panels = (N + kCols - 1) / kCols;
    float* out = static_cast<float*>(scratch_b.reserve(sizeof(float) * panels * kCols * steps));
    for (int n = 0; n < panels * kCols; n += 4) {
        float* panel = out + static_cast<size_t>(n / kCols) * kCols * steps + n % kCols;
        const float* from = b + static_cast<size_t>(n) * steps;
        int k = 0;
        if (n + 4 <= N) {
            for (; k + 4 <= steps; k += 4)
                transpose4(panel + static_cast<size_t>(k) * kCols, kCols, from + k, steps);
        }
        for (; k < steps; ++k) {
            for (int c = 0; c < 4; ++c)
                panel[static_cast<size_t>(k) * kCols + c] =
                    n + c < N ? from[static_cast<size_t>(c) * steps + k] : 0;
        }
    }
    return out;
}

// A^T from A (M, N) in tiles; the rows of A are `stride` apart.
static const float* pack_tiles(const float* a, int M, int N, int stride) {
    int tiles = (N + PLM_TILE_ROWS - 1) / PLM_TILE_ROWS;
    float* out = static_cast<float*>(scratch_a.reserve(sizeof(float) * tiles * PLM_TILE_ROWS * M));
    for (int top = 0; top < M; top += kPackRows) {
        int bottom = M - top < kPackRows ? M : top + kPackRows;
        for (int n = 0; n < N; n += PLM_TILE_ROWS) {
            int rows = N - n < PLM_TILE_ROWS ? N - n : PLM_TILE_ROWS;
            for (int m = top; m < bottom; ++m) {
                float* o = out + static_cast<size_t>(n) * M + static_cast<size_t>(m) * PLM_TILE_ROWS;
                const float* from = a + static_cast<size_t>(m) * stride + n;
                if (rows == PLM_TILE_ROWS) {
                    __builtin_memcpy(o, from, PLM_TILE_ROWS * sizeof(float));
                } else {
                    for (int r = 0; r < rows; ++r) o[r] = from[r];
                }
            }
        }
    }
    return out;
}

// A few rows, as when a text is written: packing the weights would cost more than the product.
static void matmul_forward_few(float* out, const float* inp, const float* weight, int M, int N, int K,
                               bool accumulate) {
    for (int m = 0; m < M; ++m) {
        const float* x = inp + static_cast<size_t>(m) * K;
        for (int n = 0; n < N; n += 4) {
            auto row = [&](int i) { return weight + static_cast<size_t>(n + i < N ? n + i : n) * K; };
            const float *w0 = row(0), *w1 = row(1), *w2 = row(2), *w3 = row(3);
            float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
            for (int k = 0; k < K; ++k)
                s0 += x[k] * w0[k], s1 += x[k] * w1[k], s2 += x[k] * w2[k], s3 += x[k] * w3[k];
            const float sum[4] = {s0, s1, s2, s3};
            for (int i = 0; i < 4 && n + i < N; ++i) {
                float* o = out + static_cast<size_t>(m) * N + n + i;
                *o = accumulate ? *o + sum[i] : sum[i];
            }
        }
    }
}

static void matmul_forward_tiled(float* out, const float* inp, const float* weight, int M, int N, int K,
                                 bool accumulate) {
    if (M < 4) return matmul_forward_few(out, inp, weight, M, N, K, accumulate);
    product(out, inp, false, pack_transposed(weight, N, K), M, N, K, accumulate);
}

static void matmul_backward_input_tiled(float* dinp, const float* dout, const float* weight, int M, int N,
                                        int K, bool accumulate) {
    product(dinp, dout, false, pack_rows(weight, K, N), M, K, N, accumulate);
}

static void matmul_backward_weight_tiled(float* dweight, const float* dout, const float* inp, int M, int N,
                                         int K) {
    // In pieces that are used while they lie in the second cache.
    for (int m = 0, round = round_depth(M); m < M; m += round) {
        int depth = M - m < round ? M - m : round;
        const float* panels = pack_rows(inp + static_cast<size_t>(m) * K, K, depth);
        for (int n = 0; n < N; n += kHeight) {
            int rows = N - n < kHeight ? N - n : kHeight;
            const float* tiles = pack_tiles(dout + static_cast<size_t>(m) * N + n, depth, rows, N);
            product(dweight + static_cast<size_t>(n) * K, tiles, true, panels, rows, K, depth, true);
        }
    }
}

// Below the diagonal as above it.
static void mirror(float* out, int side) {
    int whole = side / 4 * 4;
    for (int m = 0; m < whole; m += 4) {
        for (int n = 0; n <= m; n += 4) {
            float buffer[16];
            bool diagonal = m == n;
            const float* above = out + static_cast<size_t>(n) * side + m;
            float* below = out + static_cast<size_t>(m) * side + n;
            transpose4(diagonal ? buffer : below, diagonal ? 4 : side, above, side);
            for (int i = 1; diagonal && i < 4; ++i)
                for (int j = 0; j < i; ++j) below[static_cast<size_t>(i) * side + j] = buffer[i * 4 + j];
        }
    }
    for (int m = whole; m < side; ++m)
        for (int n = 0; n < m; ++n)
            out[static_cast<size_t>(m) * side + n] = out[static_cast<size_t>(n) * side + m];
}

static void matmul_gram_tiled(float* out, const float* inp, int M, int K, bool transposed) {
    if (transposed) {
        product(out, pack_tiles(inp, M, K, K), true, pack_rows(inp, K, M), K, K, M, false, true);
    } else {
        product(out, inp, false, pack_transposed(inp, M, K), M, M, K, false, true);
    }
    mirror(out, transposed ? K : M);
}
