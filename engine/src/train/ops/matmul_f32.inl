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

// Panels of B from rows of B (steps, N), or of its transpose (N, steps).
static const float* pack_panels(const float* b, int N, int steps, bool transposed) {
    int panels = (N + kCols - 1) / kCols;
    float* out = static_cast<float*>(scratch_b.reserve(sizeof(float) * panels * kCols * steps));
    for (int n = 0; n < panels * kCols; n += kCols) {
        float* panel = out + static_cast<size_t>(n) * steps;
        int cols = N - n < kCols ? N - n : kCols;
        for (int k = 0; k < steps; ++k) {
            float* o = panel + static_cast<size_t>(k) * kCols;
            for (int c = 0; c < cols; ++c) {
                o[c] = transposed ? b[static_cast<size_t>(n + c) * steps + k]
                                  : b[static_cast<size_t>(k) * N + n + c];
            }
            for (int c = cols; c < kCols; ++c) o[c] = 0;
        }
    }
    return out;
}

// A^T from A (M, N), in tiles
static const float* pack_tiles(const float* a, int M, int N) {
    int tiles = (N + PLM_TILE_ROWS - 1) / PLM_TILE_ROWS;
    float* out = static_cast<float*>(scratch_a.reserve(sizeof(float) * tiles * PLM_TILE_ROWS * M));
    for (int n = 0; n < N; n += PLM_TILE_ROWS) {
        int rows = N - n < PLM_TILE_ROWS ? N - n : PLM_TILE_ROWS;
        for (int m = 0; m < M; ++m) {
            float* o = out + static_cast<size_t>(n) * M + m * PLM_TILE_ROWS;
            for (int r = 0; r < rows; ++r) o[r] = a[static_cast<size_t>(m) * N + n + r];
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
    product(out, inp, false, pack_panels(weight, N, K, true), M, N, K, accumulate);
}

static void matmul_backward_input_tiled(float* dinp, const float* dout, const float* weight, int M, int N,
                                        int K, bool accumulate) {
    product(dinp, dout, false, pack_panels(weight, K, N, false), M, K, N, accumulate);
}

static void matmul_backward_weight_tiled(float* dweight, const float* dout, const float* inp, int M, int N,
                                         int K) {
    product(dweight, pack_tiles(dout, M, N), true, pack_panels(inp, K, M, false), N, K, M, true);
}

// Below the diagonal as above it.
static void mirror(float* out, int side) {
    for (int m = 1; m < side; ++m)
        for (int n = 0; n < m; ++n)
            out[static_cast<size_t>(m) * side + n] = out[static_cast<size_t>(n) * side + m];
}

static void matmul_gram_tiled(float* out, const float* inp, int M, int K, bool transposed) {
    if (transposed) {
        product(out, pack_tiles(inp, M, K), true, pack_panels(inp, K, M, false), K, K, M, false, true);
    } else {
        product(out, inp, false, pack_panels(inp, M, K, true), M, M, K, false, true);
    }
    mirror(out, transposed ? K : M);
}
