// Gated linear unit with silu (Shazeer, 2020): out = silu(gate) * up, both halves of one input row.

// out (M, F), inp (M, 2F): gate then up
template <class T>
static void swiglu_forward(T* out, const T* inp, int M, int F) {
    for (int m = 0; m < M; ++m) {
        const T *g = inp + static_cast<size_t>(m) * 2 * F, *u = g + F;
        T* o = out + static_cast<size_t>(m) * F;
        for (int f = 0; f < F; ++f) o[f] = g[f] * sigmoid(g[f]) * u[f];
    }
}

// dinp is set.
template <class T>
static void swiglu_backward(T* dinp, const T* dout, const T* inp, int M, int F) {
    for (int m = 0; m < M; ++m) {
        const T *g = inp + static_cast<size_t>(m) * 2 * F, *u = g + F;
        const T* d = dout + static_cast<size_t>(m) * F;
        T *dg = dinp + static_cast<size_t>(m) * 2 * F, *du = dg + F;
        for (int f = 0; f < F; ++f) {
            T gate = sigmoid(g[f]);
            du[f] = d[f] * g[f] * gate;
            dg[f] = d[f] * u[f] * gate * (T(1) + g[f] * (T(1) - gate));
        }
    }
}
