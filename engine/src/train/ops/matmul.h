// The three matrix products of a linear layer, plain: the reference that every fast version must match.
//   forward          out[M,N]  (+)= inp[M,K] @ weight[N,K]^T
//   backward_input   dinp[M,K] (+)= dout[M,N] @ weight[N,K]
//   backward_weight  dweight[N,K] += dout[M,N]^T @ inp[M,K]
// and of a matrix with itself, which is symmetric:
//   gram             out[M,M] = inp[M,K] @ inp[M,K]^T, or (transposed) out[K,K] = inp[M,K]^T @ inp[M,K]

template <class T>
static void matmul_forward(T* out, const T* inp, const T* weight, int M, int N, int K, bool accumulate) {
    for (int m = 0; m < M; ++m) {
        for (int n = 0; n < N; ++n) {
            T sum = 0;
            for (int k = 0; k < K; ++k)
                sum += inp[static_cast<size_t>(m) * K + k] * weight[static_cast<size_t>(n) * K + k];
            T* o = out + static_cast<size_t>(m) * N + n;
            *o = accumulate ? *o + sum : sum;
        }
    }
}

template <class T>
static void matmul_backward_input(T* dinp, const T* dout, const T* weight, int M, int N, int K,
                                  bool accumulate) {
    for (int m = 0; m < M; ++m) {
        T* d = dinp + static_cast<size_t>(m) * K;
        if (!accumulate) {
            for (int k = 0; k < K; ++k) d[k] = 0;
        }
        for (int n = 0; n < N; ++n) {
            T g = dout[static_cast<size_t>(m) * N + n];
            const T* w = weight + static_cast<size_t>(n) * K;
            for (int k = 0; k < K; ++k) d[k] += g * w[k];
        }
    }
}

template <class T>
static void matmul_backward_weight(T* dweight, const T* dout, const T* inp, int M, int N, int K) {
    for (int m = 0; m < M; ++m) {
        for (int n = 0; n < N; ++n) {
            T g = dout[static_cast<size_t>(m) * N + n];
            const T* x = inp + static_cast<size_t>(m) * K;
            T* d = dweight + static_cast<size_t>(n) * K;
            for (int k = 0; k < K; ++k) d[k] += g * x[k];
        }
    }
}

template <class T>
static void matmul_gram(T* out, const T* inp, int M, int K, bool transposed) {
    if (transposed) {
        for (int i = 0; i < K * K; ++i) out[i] = 0;
        matmul_backward_weight(out, inp, inp, M, K, K);
    } else {
        matmul_forward(out, inp, inp, M, M, K, false);
    }
}

template <class T>
static double matmul_burst(int repeats) {
    constexpr int side = 32;
    T out[side * side] = {}, inp[side * side] = {}, weight[side * side] = {};
    for (int i = 0; i < repeats; ++i) {
        matmul_forward(out, inp, weight, side, side, side, true);
        // The compiler must assume that every operand has changed, or it would optimise work away.
        asm volatile("" : : "r"(out), "r"(inp), "r"(weight) : "memory");
    }
    return 2.0 * side * side * side * repeats;
}
