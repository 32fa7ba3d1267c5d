// Muon's iteration (muon.h) on the Gram matrix G alone, for tables with float32 products: x <- P(G) x makes
// G <- P(G) G P(G), and all of these matrices commute. So five steps need x only at the start and at the end,
// and what lies between are symmetric products of which half is computed. Directions shorter than about a
// thousandth of x lose digits, since G holds their squares; bf16 would lose them whole.

// out = a b for symmetric a, and b in panels, that commute: symmetric again
static void product_symmetric(float* out, const float* a, const float* b_panels, int side) {
    product(out, a, false, b_panels, side, side, side, false, true);
    mirror(out, side);
}

// As orthogonalize(); `space` has 3 min(rows, columns)^2 numbers, as many again lie in scratch_a, which
// products of rows leave alone.
static void orthogonalize_gram(float* x, float* space, int rows, int columns) {
    constexpr float a = 3.4445f, b = -4.7750f, c = 2.0315f;
    bool wide = rows <= columns;
    int side = wide ? rows : columns;
    size_t n = static_cast<size_t>(rows) * columns, square = static_cast<size_t>(side) * side;
    float *gram = space, *factor = gram + square, *all = factor + square;
    float sum = 0;
    for (size_t i = 0; i < n; ++i) sum += x[i] * x[i];
    float scale = 1.0f / (sqrt_of(sum) + 1e-12f);
    for (size_t i = 0; i < n; ++i) x[i] *= scale;
    matmul_gram_tiled(gram, x, rows, columns, !wide);
    float* spare = static_cast<float*>(scratch_a.reserve(sizeof(float) * square));
    for (int step = 0; step < 5; ++step) {
        float* p = step == 0 ? all : factor;
        product_symmetric(p, gram, pack_rows(gram, side, side), side);
        for (size_t i = 0; i < square; ++i) p[i] = b * gram[i] + c * p[i];
        for (int i = 0; i < side; ++i) p[static_cast<size_t>(i) * side + i] += a;
        const float* panels = pack_rows(p, side, side);
        if (step > 0) {
            product_symmetric(spare, all, panels, side);
            float* before = all;
            all = spare, spare = before;
        }
        if (step < 4) {
            product_symmetric(spare, gram, panels, side);
            product_symmetric(gram, spare, panels, side);
        }
    }
    if (wide) {
        product(x, all, false, pack_rows(x, columns, side), side, columns, side, false);
        return;
    }
    const float* panels = pack_rows(all, side, side);
    for (int m = 0; m < rows; m += kHeight) {
        int count = rows - m < kHeight ? rows - m : kHeight;
        float *block = x + static_cast<size_t>(m) * side,
              *copy = static_cast<float*>(scratch_a.reserve(sizeof(float) * kHeight * side));
        __builtin_memcpy(copy, block, sizeof(float) * count * side);
        product(block, copy, false, panels, count, side, side, false);
    }
}

static void muon_update_gram(const Ops<float>&, const MuonMatrix<float>* matrices, int count, float* space,
                             float rate, float momentum, float clip) {
    muon_update_by(orthogonalize_gram, matrices, count, space, rate, momentum, clip);
}
