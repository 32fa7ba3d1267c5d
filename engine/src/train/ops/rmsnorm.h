// Root-mean-square norm (Zhang and Sennrich, 2019): out = inp * rinv * weight, rinv = 1 / sqrt(mean(inp^2) +
// 1e-5).

// out, inp (M, D), rinv (M), weight (D)
template <class T>
static void rmsnorm_forward(T* out, T* rinv, const T* inp, const T* weight, int M, int D) {
    for (int m = 0; m < M; ++m) {
        const T* x = inp + static_cast<size_t>(m) * D;
        T* o = out + static_cast<size_t>(m) * D;
        T sum = 0;
        for (int d = 0; d < D; ++d) sum += x[d] * x[d];
        T r = T(1) / sqrt_of(sum / D + T(1e-5));
        rinv[m] = r;
        for (int d = 0; d < D; ++d) o[d] = x[d] * r * weight[d];
    }
}

// dinp and dweight are added to.
template <class T>
static void rmsnorm_backward(T* dinp, T* dweight, const T* dout, const T* inp, const T* rinv, const T* weight,
                             int M, int D) {
    for (int m = 0; m < M; ++m) {
        const T* x = inp + static_cast<size_t>(m) * D;
        const T* g = dout + static_cast<size_t>(m) * D;
        T* dx = dinp + static_cast<size_t>(m) * D;
        T r = rinv[m], dot = 0;
        for (int d = 0; d < D; ++d) dot += g[d] * weight[d] * x[d];
        T shrink = dot * r * r * r / D;
        for (int d = 0; d < D; ++d) {
            dx[d] += g[d] * weight[d] * r - x[d] * shrink;
            dweight[d] += g[d] * x[d] * r;
        }
    }
}
