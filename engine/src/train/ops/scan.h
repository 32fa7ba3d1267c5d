// Gated linear recurrence with a vector state and an output gate:
//   a = sigmoid(f + bias);  s[t] = a s[t-1] + (1 - a) v;  y = s * silu(o)
// f, v, o are the three thirds of one input row. The state before the window (s0) gets no gradient.

constexpr int kScanBlock = 512;  // channels whose running sums lie on the stack

// y, a, s (B, length, R), fvo (B, length, 3R), bias (R), s0 (B, R); a and s are kept for backward
template <class T>
static void scan_forward(T* y, T* a, T* s, const T* fvo, const T* bias, const T* s0, int B, int length,
                         int R) {
    for (int b = 0; b < B; ++b) {
        const T* before = s0 + static_cast<size_t>(b) * R;
        for (int t = 0; t < length; ++t) {
            size_t row = static_cast<size_t>(b) * length + t;
            const T *f = fvo + row * 3 * R, *v = f + R, *o = v + R;
            T *at = a + row * R, *st = s + row * R, *yt = y + row * R;
#pragma GCC ivdep
            for (int i = 0; i < R; ++i) {
                T keep = sigmoid(f[i] + bias[i]);
                T state = v[i] + keep * (before[i] - v[i]);
                at[i] = keep;
                st[i] = state;
                yt[i] = state * o[i] * sigmoid(o[i]);
            }
            before = st;
        }
    }
}

// dfvo is set, dbias is added to.
template <class T>
static void scan_backward(T* dfvo, T* dbias, const T* dy, const T* fvo, const T* a, const T* s, const T* s0,
                          int B, int length, int R) {
    for (int r0 = 0; r0 < R; r0 += kScanBlock) {
        int n = R - r0 < kScanBlock ? R - r0 : kScanBlock;
        T db[kScanBlock] = {};
        for (int b = 0; b < B; ++b) {
            T carry[kScanBlock] = {};
            for (int t = length - 1; t >= 0; --t) {
                size_t row = static_cast<size_t>(b) * length + t;
                const T *v = fvo + row * 3 * R + R + r0, *o = v + R;
                T *df = dfvo + row * 3 * R + r0, *dv = df + R, *doo = dv + R;
                const T *at = a + row * R + r0, *st = s + row * R + r0, *g = dy + row * R + r0;
                const T* before = t > 0 ? st - R : s0 + static_cast<size_t>(b) * R + r0;
#pragma GCC ivdep
                for (int i = 0; i < n; ++i) {
                    T gate = sigmoid(o[i]);
                    T ds = g[i] * o[i] * gate + carry[i];
                    T d = ds * (before[i] - v[i]) * at[i] * (T(1) - at[i]);
                    doo[i] = g[i] * st[i] * gate * (T(1) + o[i] * (T(1) - gate));
                    dv[i] = ds * (T(1) - at[i]);
                    df[i] = d;
                    db[i] += d;
                    carry[i] = ds * at[i];
                }
            }
        }
        for (int i = 0; i < n; ++i) dbias[r0 + i] += db[i];
    }
}
