// Gated linear unit without an activation function (Shazeer, 2020, "bilinear"): the product of the two halves
// of one input row.

// out (M, F), inp (M, 2F)
template <class T>
static void bilinear_forward(T* out, const T* inp, int M, int F) {
    for (int m = 0; m < M; ++m) {
        const T *x = inp + static_cast<size_t>(m) * 2 * F, *y = x + F;
        T* o = out + static_cast<size_t>(m) * F;
        for (int f = 0; f < F; ++f) o[f] = x[f] * y[f];
    }
}

// dinp is set.
template <class T>
static void bilinear_backward(T* dinp, const T* dout, const T* inp, int M, int F) {
    for (int m = 0; m < M; ++m) {
        const T *x = inp + static_cast<size_t>(m) * 2 * F, *y = x + F;
        const T* d = dout + static_cast<size_t>(m) * F;
        T *dx = dinp + static_cast<size_t>(m) * 2 * F, *dy = dx + F;
        for (int f = 0; f < F; ++f) {
            dx[f] = d[f] * y[f];
            dy[f] = d[f] * x[f];
        }
    }
}
