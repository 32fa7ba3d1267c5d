// Muon (Jordan et al., 2024, kellerjordan.github.io/posts/muon): the momentum of a matrix, made orthogonal.
// All singular values of the step are about 1, so directions that gradients seldom show are learnt as fast as
// the others. Scaled by 0.2 sqrt(max(rows, columns)), the step's numbers are as large as AdamW's (Liu et al.,
// 2025, arXiv:2502.16982), so one rate serves both.

// x (rows, columns) = U S V^T becomes about U V^T in five steps x <- (a + b G + c G^2) x, G = x x^T, or the
// same from the right where x is tall (Newton-Schulz). `space` has rows * columns + 2 min(rows, columns)^2
// numbers.
template <class T>
static void orthogonalize(const Ops<T>& ops, T* x, T* space, int rows, int columns) {
    constexpr T a = T(3.4445), b = T(-4.7750), c = T(2.0315);
    bool wide = rows <= columns;
    int side = wide ? rows : columns;
    size_t n = static_cast<size_t>(rows) * columns, square = static_cast<size_t>(side) * side;
    T *gram = space, *factor = gram + square, *from = x, *to = factor + square;
    T sum = 0;
    for (size_t i = 0; i < n; ++i) sum += x[i] * x[i];
    T scale = T(1) / (sqrt_of(sum) + T(1e-12));
    for (size_t i = 0; i < n; ++i) x[i] *= scale;
    for (int step = 0; step < 5; ++step) {
        ops.matmul_gram(gram, from, rows, columns, !wide);
        ops.matmul_gram(factor, gram, side, side, false);  // G is its own transpose
        for (size_t i = 0; i < square; ++i) factor[i] = b * gram[i] + c * factor[i];
        for (int i = 0; i < side; ++i) factor[static_cast<size_t>(i) * side + i] += a;
        if (wide) {
            ops.matmul_backward_input(to, factor, from, side, side, columns, false);
        } else {
            ops.matmul_forward(to, from, factor, rows, side, side, false);
        }
        T* before = from;
        from = to, to = before;
    }
    for (size_t i = 0; i < n; ++i) x[i] = from[i];
}

// Nesterov's momentum m of each matrix, and AdamW's weight decay and clipping. orthogonal(x, space, rows,
// columns) makes x so, in place.
template <class T, class F>
static inline void muon_update_by(F&& orthogonal, const MuonMatrix<T>* matrices, int count, T* space, T rate,
                                  T momentum, T clip) {
    for (const MuonMatrix<T>* x = matrices; x < matrices + count; space += x++->space()) {
        size_t n = static_cast<size_t>(x->rows) * x->columns;
        for (size_t i = 0; i < n; ++i) {
            T g = (T(1) - momentum) * clip * x->grad[i];
            x->m[i] = momentum * x->m[i] + g;
            space[i] = momentum * x->m[i] + g;
        }
        orthogonal(space, space + n, x->rows, x->columns);
        T scale = T(0.2) * sqrt_of(static_cast<T>(x->rows > x->columns ? x->rows : x->columns));
        for (size_t i = 0; i < n; ++i) x->weight[i] -= rate * (scale * space[i] + x->decay * x->weight[i]);
    }
}

template <class T>
static void muon_update(const Ops<T>& ops, const MuonMatrix<T>* matrices, int count, T* space, T rate,
                        T momentum, T clip) {
    auto orthogonal = [&](T* x, T* free, int rows, int columns) {
        orthogonalize(ops, x, free, rows, columns);
    };
    muon_update_by(orthogonal, matrices, count, space, rate, momentum, clip);
}
