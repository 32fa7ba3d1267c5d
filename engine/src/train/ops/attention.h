// Causal attention over a window of the last W characters, the current one among them, with one key and value
// for all heads (Shazeer 2019, "multi-query") and a learned bias for every head and distance:
//   p[j] = softmax_j(q . k[j] / sqrt(d) + bias[distance]);  y = sum_j p[j] v[j]
// A row of qkv is q of all heads, then k, then v. What came before the window of training lies in `past`
// (k then v a row, oldest first; zeros before the first character) and gets no gradient.

constexpr int kAttentionBlock = 64;

// k and v of past and present as rows, and as columns: four arrays of (W - 1 + length) * d in `space`.
template <class T>
static void attention_gather(T* space, const T* qkv, const T* past, int length, int heads, int d, int W) {
    int n = W - 1 + length, row = (heads + 2) * d;
    size_t size = static_cast<size_t>(n) * d;
    T *k = space, *v = k + size, *kt = v + size, *vt = kt + size;
    for (int t = 0; t < n; ++t) {
        const T* from = t < W - 1 ? past + static_cast<size_t>(t) * 2 * d
                                  : qkv + static_cast<size_t>(t - W + 1) * row + heads * d;
        for (int i = 0; i < d; ++i) {
            k[static_cast<size_t>(t) * d + i] = kt[static_cast<size_t>(i) * n + t] = from[i];
            v[static_cast<size_t>(t) * d + i] = vt[static_cast<size_t>(i) * n + t] = from[d + i];
        }
    }
}

// out[j] = scale * (x . columns[:, j]) for j < W; columns (d, n)
template <class T>
static inline void attention_products(T* out, const T* x, const T* columns, T scale, int d, int n, int W) {
    for (int j0 = 0; j0 < W; j0 += kAttentionBlock) {
        int m = W - j0 < kAttentionBlock ? W - j0 : kAttentionBlock;
        T sum[kAttentionBlock] = {};
        if (m == kAttentionBlock) {
            for (int i = 0; i < d; ++i) {
                const T* column = columns + static_cast<size_t>(i) * n + j0;
                for (int j = 0; j < kAttentionBlock; ++j) sum[j] += x[i] * column[j];
            }
        } else {
            for (int i = 0; i < d; ++i) {
                const T* column = columns + static_cast<size_t>(i) * n + j0;
                for (int j = 0; j < m; ++j) sum[j] += x[i] * column[j];
            }
        }
        for (int j = 0; j < m; ++j) out[j0 + j] = scale * sum[j];
    }
}

// out[i] = sum_j weights[j] rows[j, i]
template <class T>
static inline void attention_mix(T* out, const T* weights, const T* rows, int d, int W) {
    for (int i0 = 0; i0 < d; i0 += 32) {
        int m = d - i0 < 32 ? d - i0 : 32;
        T sum[32] = {};
        if (m == 32) {
            for (int j = 0; j < W; ++j)
                for (int i = 0; i < 32; ++i) sum[i] += weights[j] * rows[static_cast<size_t>(j) * d + i0 + i];
        } else {
            for (int j = 0; j < W; ++j)
                for (int i = 0; i < m; ++i) sum[i] += weights[j] * rows[static_cast<size_t>(j) * d + i0 + i];
        }
        for (int i = 0; i < m; ++i) out[i0 + i] = sum[i];
    }
}

// to[i] += weight x[i]
template <class T>
static inline void attention_add(T* to, T weight, const T* x, int d) {
    int i = 0;
    for (; i + 32 <= d; i += 32)
        for (int c = 0; c < 32; ++c) to[i + c] += weight * x[i + c];
    for (; i < d; ++i) to[i] += weight * x[i];
}

// y (B, length, heads * d), p (B, length, heads, W) oldest first, kept for backward; qkv (B, length, (heads +
// 2) * d), past (B, W - 1, 2 d), bias (heads, W) oldest first, space 4 (W - 1 + length) d
template <class T>
static void attention_forward(T* y, T* p, const T* qkv, const T* past, const T* bias, T* space, int B,
                              int length, int heads, int d, int W) {
    int n = W - 1 + length, row = (heads + 2) * d;
    size_t size = static_cast<size_t>(n) * d;
    T scale = T(1) / sqrt_of(static_cast<T>(d));
    for (int b = 0; b < B; ++b) {
        const T* mine = qkv + static_cast<size_t>(b) * length * row;
        attention_gather(space, mine, past + static_cast<size_t>(b) * (W - 1) * 2 * d, length, heads, d, W);
        const T *v = space + size, *kt = space + 2 * size;
        for (int t = 0; t < length; ++t) {
            for (int h = 0; h < heads; ++h) {
                size_t at = (static_cast<size_t>(b) * length + t) * heads + h;
                T* w = p + at * W;
                attention_products(w, mine + static_cast<size_t>(t) * row + h * d, kt + t, scale, d, n, W);
                T most = w[0] + bias[h * W];
                for (int j = 0; j < W; ++j) {
                    w[j] += bias[h * W + j];
                    most = w[j] > most ? w[j] : most;
                }
                T total = 0;
                for (int j = 0; j < W; ++j) w[j] = exp_of(w[j] - most);
                for (int j = 0; j < W; ++j) total += w[j];
                for (int j = 0; j < W; ++j) w[j] /= total;
                attention_mix(y + at * d, w, v + static_cast<size_t>(t) * d, d, W);
            }
        }
    }
}

// dqkv is set, dbias is added to. space: 6 (W - 1 + length) d + W
template <class T>
static void attention_backward(T* dqkv, T* dbias, const T* dy, const T* p, const T* qkv, const T* past,
                               T* space, int B, int length, int heads, int d, int W) {
    int n = W - 1 + length, row = (heads + 2) * d;
    size_t size = static_cast<size_t>(n) * d;
    T scale = T(1) / sqrt_of(static_cast<T>(d));
    T *dk = space + 4 * size, *dv = space + 5 * size, *ds = space + 6 * size;
    for (int b = 0; b < B; ++b) {
        const T* mine = qkv + static_cast<size_t>(b) * length * row;
        T* dmine = dqkv + static_cast<size_t>(b) * length * row;
        attention_gather(space, mine, past + static_cast<size_t>(b) * (W - 1) * 2 * d, length, heads, d, W);
        const T *k = space, *vt = space + 3 * size;
        for (size_t i = 0; i < 2 * size; ++i) dk[i] = 0;
        for (int t = 0; t < length; ++t) {
            for (int h = 0; h < heads; ++h) {
                size_t at = (static_cast<size_t>(b) * length + t) * heads + h;
                const T *w = p + at * W, *g = dy + at * d, *q = mine + static_cast<size_t>(t) * row + h * d;
                attention_products(ds, g, vt + t, T(1), d, n, W);
                T mean = 0;
                for (int j = 0; j < W; ++j) mean += w[j] * ds[j];
                for (int j = 0; j < W; ++j) ds[j] = w[j] * (ds[j] - mean);
                for (int j = 0; j < W; ++j) dbias[h * W + j] += ds[j];
                for (int j = 0; j < W; ++j) ds[j] *= scale;
                attention_mix(dmine + static_cast<size_t>(t) * row + h * d, ds,
                              k + static_cast<size_t>(t) * d, d, W);
                // Keys and values from before this window get no gradient.
                for (int j = t < W - 1 ? W - 1 - t : 0; j < W; ++j) {
                    attention_add(dk + static_cast<size_t>(t + j) * d, ds[j], q, d);
                    attention_add(dv + static_cast<size_t>(t + j) * d, w[j], g, d);
                }
            }
        }
        for (int t = 0; t < length; ++t) {
            T* to = dmine + static_cast<size_t>(t) * row + heads * d;
            for (int i = 0; i < d; ++i) to[i] = dk[static_cast<size_t>(t + W - 1) * d + i];
            for (int i = 0; i < d; ++i) to[d + i] = dv[static_cast<size_t>(t + W - 1) * d + i];
        }
    }
}
