// The norm of wyGPT: every group of g neighbours less its mean, divided by its root mean square. No weights;
// the sum of squares is held at 1e-18 or more.

// out, inp (groups, g), the same array if wanted; rinv (groups) is kept for backward
template <class T>
static void groupnorm_forward(T* out, T* rinv, const T* inp, int groups, int g) {
    for (int n = 0; n < groups; ++n) {
        const T* x = inp + static_cast<size_t>(n) * g;
        T* o = out + static_cast<size_t>(n) * g;
        T mean = 0, squares = 0;
        for (int i = 0; i < g; ++i) mean += x[i];
        mean /= g;
        for (int i = 0; i < g; ++i) squares += (x[i] - mean) * (x[i] - mean);
        T r = T(1) / sqrt_of((squares > T(1e-18) ? squares : T(1e-18)) / g);
        rinv[n] = r;
#pragma GCC ivdep
        for (int i = 0; i < g; ++i) o[i] = (x[i] - mean) * r;
    }
}

// dinp is set and may lie over dout; out is what forward gave.
template <class T>
static void groupnorm_backward(T* dinp, const T* dout, const T* out, const T* rinv, int groups, int g) {
    for (int n = 0; n < groups; ++n) {
        const T *d = dout + static_cast<size_t>(n) * g, *o = out + static_cast<size_t>(n) * g;
        T* dx = dinp + static_cast<size_t>(n) * g;
        T mean = 0, dot = 0;
        for (int i = 0; i < g; ++i) mean += d[i];
        for (int i = 0; i < g; ++i) dot += d[i] * o[i];
        mean /= g, dot /= g;
#pragma GCC ivdep
        for (int i = 0; i < g; ++i) dx[i] = rinv[n] * (d[i] - mean - o[i] * dot);
    }
}
