// Causal depthwise convolution over three characters: out[t][d] = w[d][0] inp[t-2][d] + w[d][1] inp[t-1][d] +
// w[d][2] inp[t][d]. The two characters before the window come from `history` and get no gradient (truncated
// back-propagation). Channels go in blocks whose taps lie side by side on the stack.

constexpr int kConvBlock = 512;

// The row `back` characters before time t of sequence b; rows before the window lie in history (B, 2, D),
// oldest first.
template <class T>
static inline const T* conv_row(const T* inp, const T* history, int b, int t, int length, int D) {
    return t >= 0 ? inp + (static_cast<size_t>(b) * length + t) * D
                  : history + (static_cast<size_t>(b) * 2 + t + 2) * D;
}

// out, inp (B, length, D), history (B, 2, D), weight (D, 3)
template <class T>
static void conv_forward(T* out, const T* inp, const T* history, const T* weight, int B, int length, int D) {
    for (int d0 = 0; d0 < D; d0 += kConvBlock) {
        int n = D - d0 < kConvBlock ? D - d0 : kConvBlock;
        T w0[kConvBlock], w1[kConvBlock], w2[kConvBlock];
        for (int i = 0; i < n; ++i) {
            w0[i] = weight[(d0 + i) * 3], w1[i] = weight[(d0 + i) * 3 + 1], w2[i] = weight[(d0 + i) * 3 + 2];
        }
        for (int b = 0; b < B; ++b) {
            for (int t = 0; t < length; ++t) {
                const T* x0 = conv_row(inp, history, b, t - 2, length, D) + d0;
                const T* x1 = conv_row(inp, history, b, t - 1, length, D) + d0;
                const T* x2 = conv_row(inp, history, b, t, length, D) + d0;
                T* o = out + (static_cast<size_t>(b) * length + t) * D + d0;
#pragma GCC ivdep
                for (int i = 0; i < n; ++i) o[i] = w0[i] * x0[i] + w1[i] * x1[i] + w2[i] * x2[i];
            }
        }
    }
}

// dinp is set, dweight is added to.
template <class T>
static void conv_backward(T* dinp, T* dweight, const T* dout, const T* inp, const T* history, const T* weight,
                          int B, int length, int D) {
    static const T none[kConvBlock] = {};  // the gradient of times past the window
    for (int d0 = 0; d0 < D; d0 += kConvBlock) {
        int n = D - d0 < kConvBlock ? D - d0 : kConvBlock;
        T w[3][kConvBlock], dw[3][kConvBlock] = {};
        for (int i = 0; i < n; ++i) {
            for (int k = 0; k < 3; ++k) w[k][i] = weight[(d0 + i) * 3 + k];
        }
        for (int b = 0; b < B; ++b) {
            for (int t = 0; t < length; ++t) {
                size_t at = (static_cast<size_t>(b) * length + t) * D + d0;
                const T* g = dout + at;
                const T* x0 = conv_row(inp, history, b, t - 2, length, D) + d0;
                const T* x1 = conv_row(inp, history, b, t - 1, length, D) + d0;
                const T* x2 = inp + at;
                const T* g1 = t + 1 < length ? g + D : none;
                const T* g2 = t + 2 < length ? g + 2 * D : none;
                T* dx = dinp + at;
#pragma GCC ivdep
                for (int i = 0; i < n; ++i) {
                    dw[0][i] += g[i] * x0[i];
                    dw[1][i] += g[i] * x1[i];
                    dw[2][i] += g[i] * x2[i];
                    dx[i] = w[2][i] * g[i] + w[1][i] * g1[i] + w[0][i] * g2[i];
                }
            }
        }
        for (int i = 0; i < n; ++i) {
            for (int k = 0; k < 3; ++k) dweight[(d0 + i) * 3 + k] += dw[k][i];
        }
    }
}
