// Gated linear recurrence with a vector state and an output gate:
//   a = sigmoid(f + bias);  s[t] = a s[t-1] + (1 - a) v;  y = s * silu(o)
// f, v, o are the three thirds of one input row. The state before the window (s0) gets no gradient.

constexpr int kScanBlock = 32;

// y, a, s (B, length, R), fvo (B, length, 3R), bias (R), s0 (B, R); a and s are kept for backward
template <class T>
static void scan_forward(T* y, T* a, T* s, const T* fvo, const T* bias, const T* s0, int B, int length,
                         int R) {
    for (int b = 0; b < B; ++b) {
        for (int r0 = 0; r0 < R; r0 += kScanBlock) {
            int n = R - r0 < kScanBlock ? R - r0 : kScanBlock;
            T state[kScanBlock];
            for (int i = 0; i < n; ++i) state[i] = s0[static_cast<size_t>(b) * R + r0 + i];
            for (int t = 0; t < length; ++t) {
                size_t row = static_cast<size_t>(b) * length + t;
                const T* f = fvo + row * 3 * R + r0;
                const T *v = f + R, *o = f + 2 * R;
                T *at = a + row * R + r0, *st = s + row * R + r0, *yt = y + row * R + r0;
                for (int i = 0; i < n; ++i) {
                    T keep = sigmoid(f[i] + bias[r0 + i]);
                    state[i] = v[i] + keep * (state[i] - v[i]);
                    at[i] = keep;
                    st[i] = state[i];
                    yt[i] = state[i] * o[i] * sigmoid(o[i]);
                }
            }
        }
    }
}

// dfvo is set, dbias is added to.
template <class T>
static void scan_backward(T* dfvo, T* dbias, const T* dy, const T* fvo, const T* a, const T* s, const T* s0,
                          int B, int length, int R) {
    for (int b = 0; b < B; ++b) {
        for (int r0 = 0; r0 < R; r0 += kScanBlock) {
            int n = R - r0 < kScanBlock ? R - r0 : kScanBlock;
            T carry[kScanBlock] = {}, db[kScanBlock] = {};
            for (int t = length - 1; t >= 0; --t) {
                size_t row = static_cast<size_t>(b) * length + t;
                const T* f = fvo + row * 3 * R + r0;
                const T *v = f + R, *o = f + 2 * R;
                T* df = dfvo + row * 3 * R + r0;
                T *dv = df + R, *doo = df + 2 * R;
                const T *at = a + row * R + r0, *st = s + row * R + r0, *g = dy + row * R + r0;
                const T* before = t > 0 ? st - R : s0 + static_cast<size_t>(b) * R + r0;
                for (int i = 0; i < n; ++i) {
                    T gate = sigmoid(o[i]);
                    T ds = g[i] * o[i] * gate + carry[i];
                    doo[i] = g[i] * st[i] * gate * (T(1) + o[i] * (T(1) - gate));
                    dv[i] = ds * (T(1) - at[i]);
                    df[i] = ds * (before[i] - v[i]) * at[i] * (T(1) - at[i]);
                    db[i] += df[i];
                    carry[i] = ds * at[i];
                }
            }
            for (int i = 0; i < n; ++i) dbias[r0 + i] += db[i];
        }
    }
}
