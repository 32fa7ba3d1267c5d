// Causal attention over a window of the last W characters, the current one among them, with one key and value
// for all heads (Shazeer 2019, "multi-query") and a learned bias for every head and distance:
//   p[j] = softmax_j(q . k[j] / sqrt(d) + bias[distance]);  y = sum_j p[j] v[j]
// A row of qkv is q of all heads, then k, then v. What came before the window of training lies in `past`
// (k then v a row, oldest first; zeros before the first character) and gets no gradient.
// Up to four heads go together through each key and value, since loading those takes as long as using them.

constexpr int kAttentionHeads = 4;

// A vector as wide as the registers: of wider ones the sums of four heads would not fit into 16 of them.
#ifndef PLM_VECTOR_BYTES
#define PLM_VECTOR_BYTES 64
#endif
template <class T>
struct AttentionVector {
    typedef T type __attribute__((vector_size(PLM_VECTOR_BYTES), aligned(alignof(T)), may_alias));
};

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

// out[h][j] = scale * (x[h] . columns[:, j]) for j < W; out (G, W), x (G, d), columns (d, n)
template <int G, class T>
static inline void attention_products(T* out, const T* x, const T* columns, T scale, int d, int n, int W) {
    typedef typename AttentionVector<T>::type Vector;
    constexpr int kLanes = PLM_VECTOR_BYTES / sizeof(T);
    int j = 0;
    for (; j + 2 * kLanes <= W; j += 2 * kLanes) {
        Vector sum[G][2] = {};
        for (int i = 0; i < d; ++i) {
            const T* column = columns + static_cast<size_t>(i) * n + j;
            Vector c0 = *reinterpret_cast<const Vector*>(column);
            Vector c1 = *reinterpret_cast<const Vector*>(column + kLanes);
#pragma GCC unroll 4
            for (int h = 0; h < G; ++h) {
                sum[h][0] += x[h * d + i] * c0;
                sum[h][1] += x[h * d + i] * c1;
            }
        }
#pragma GCC unroll 4
        for (int h = 0; h < G; ++h) {
            *reinterpret_cast<Vector*>(out + h * W + j) = scale * sum[h][0];
            *reinterpret_cast<Vector*>(out + h * W + j + kLanes) = scale * sum[h][1];
        }
    }
    for (; j < W; ++j) {
        for (int h = 0; h < G; ++h) {
            T sum = 0;
            for (int i = 0; i < d; ++i) sum += x[h * d + i] * columns[static_cast<size_t>(i) * n + j];
            out[h * W + j] = scale * sum;
        }
    }
}

// out[h][i] = sum_j weights[h][j] rows[j, i]; out (G, d), weights (G, W), rows (W, d)
template <int G, class T>
static inline void attention_mix(T* out, const T* weights, const T* rows, int d, int W) {
    typedef typename AttentionVector<T>::type Vector;
    constexpr int kLanes = PLM_VECTOR_BYTES / sizeof(T);
    int i = 0;
    for (; i + 2 * kLanes <= d; i += 2 * kLanes) {
        Vector sum[G][2] = {};
        for (int j = 0; j < W; ++j) {
            const T* row = rows + static_cast<size_t>(j) * d + i;
            Vector r0 = *reinterpret_cast<const Vector*>(row);
            Vector r1 = *reinterpret_cast<const Vector*>(row + kLanes);
#pragma GCC unroll 4
            for (int h = 0; h < G; ++h) {
                sum[h][0] += weights[h * W + j] * r0;
                sum[h][1] += weights[h * W + j] * r1;
            }
        }
#pragma GCC unroll 4
        for (int h = 0; h < G; ++h) {
            *reinterpret_cast<Vector*>(out + h * d + i) = sum[h][0];
            *reinterpret_cast<Vector*>(out + h * d + i + kLanes) = sum[h][1];
        }
    }
    for (; i < d; ++i) {
        for (int h = 0; h < G; ++h) {
            T sum = 0;
            for (int j = 0; j < W; ++j) sum += weights[h * W + j] * rows[static_cast<size_t>(j) * d + i];
            out[h * d + i] = sum;
        }
    }
}

// rows[j, i] += sum_h weights[h][j] x[h][i] for j from `first`; rows (W, d), weights (G, W), x (G, d)
template <int G, class T>
static inline void attention_add(T* rows, const T* weights, const T* x, int d, int W, int first) {
    typedef typename AttentionVector<T>::type Vector;
    constexpr int kLanes = PLM_VECTOR_BYTES / sizeof(T);
    int i = 0;
    for (; i + 2 * kLanes <= d; i += 2 * kLanes) {
        Vector from[G][2];
#pragma GCC unroll 4
        for (int h = 0; h < G; ++h) {
            from[h][0] = *reinterpret_cast<const Vector*>(x + h * d + i);
            from[h][1] = *reinterpret_cast<const Vector*>(x + h * d + i + kLanes);
        }
        for (int j = first; j < W; ++j) {
            T* row = rows + static_cast<size_t>(j) * d + i;
            Vector r0 = *reinterpret_cast<Vector*>(row);
            Vector r1 = *reinterpret_cast<Vector*>(row + kLanes);
#pragma GCC unroll 4
            for (int h = 0; h < G; ++h) {
                r0 += weights[h * W + j] * from[h][0];
                r1 += weights[h * W + j] * from[h][1];
            }
            *reinterpret_cast<Vector*>(row) = r0;
            *reinterpret_cast<Vector*>(row + kLanes) = r1;
        }
    }
    for (; i < d; ++i) {
        for (int j = first; j < W; ++j) {
            for (int h = 0; h < G; ++h) {
                rows[static_cast<size_t>(j) * d + i] += weights[h * W + j] * x[h * d + i];
            }
        }
    }
}

// One place, G heads: y (G, d) and p (G, W) from q (G, d); kt, v from `gather`, moved on to this place.
template <int G, class T>
static void attention_attend(T* y, T* p, const T* q, const T* kt, const T* v, const T* bias, int d, int n,
                             int W) {
    attention_products<G>(p, q, kt, T(1) / sqrt_of(static_cast<T>(d)), d, n, W);
    for (int h = 0; h < G; ++h) {
        T* w = p + static_cast<size_t>(h) * W;
        T most = w[0] + bias[h * W];
        for (int j = 0; j < W; ++j) {
            w[j] += bias[h * W + j];
            most = w[j] > most ? w[j] : most;
        }
        T total = 0;
        for (int j = 0; j < W; ++j) w[j] = exp_of(w[j] - most);
        for (int j = 0; j < W; ++j) total += w[j];
        T by = T(1) / total;
        for (int j = 0; j < W; ++j) w[j] *= by;
    }
    attention_mix<G>(y, p, v, d, W);
}

// y (B, length, heads * d), p (B, length, heads, W) oldest first, kept for backward; qkv (B, length, (heads +
// 2) * d), past (B, W - 1, 2 d), bias (heads, W) oldest first, space 4 (W - 1 + length) d
template <class T>
static void attention_forward(T* y, T* p, const T* qkv, const T* past, const T* bias, T* space, int B,
                              int length, int heads, int d, int W) {
    int n = W - 1 + length, row = (heads + 2) * d;
    size_t size = static_cast<size_t>(n) * d;
    for (int b = 0; b < B; ++b) {
        const T* mine = qkv + static_cast<size_t>(b) * length * row;
        attention_gather(space, mine, past + static_cast<size_t>(b) * (W - 1) * 2 * d, length, heads, d, W);
        for (int t = 0; t < length; ++t) {
            const T *q = mine + static_cast<size_t>(t) * row, *v = space + size + static_cast<size_t>(t) * d,
                    *kt = space + 2 * size + t;
            size_t at = (static_cast<size_t>(b) * length + t) * heads;
            int h = 0;
            for (; h + kAttentionHeads <= heads; h += kAttentionHeads)
                attention_attend<kAttentionHeads>(y + (at + h) * d, p + (at + h) * W, q + h * d, kt, v,
                                                  bias + h * W, d, n, W);
            for (; h < heads; ++h)
                attention_attend<1>(y + (at + h) * d, p + (at + h) * W, q + h * d, kt, v, bias + h * W, d, n,
                                    W);
        }
    }
}

// One place, G heads: sets dq (G, d), adds to dk, dv (W, d) and dbias (G, W); dy, q (G, d), p (G, W); k, vt
// from `gather`, moved on to this place. Keys and values before `first` get no gradient. space G * W
template <int G, class T>
static void attention_return(T* dq, T* dk, T* dv, T* dbias, const T* dy, const T* p, const T* q, const T* k,
                             const T* vt, T* space, int d, int n, int W, int first) {
    T scale = T(1) / sqrt_of(static_cast<T>(d));
    attention_products<G>(space, dy, vt, T(1), d, n, W);
    for (int h = 0; h < G; ++h) {
        T *ds = space + h * W, *db = dbias + h * W, mean = 0;
        const T* w = p + h * W;
        for (int j = 0; j < W; ++j) mean += w[j] * ds[j];
#pragma GCC ivdep
        for (int j = 0; j < W; ++j) {
            T x = w[j] * (ds[j] - mean);
            db[j] += x;
            ds[j] = scale * x;
        }
    }
    attention_mix<G>(dq, space, k, d, W);
    attention_add<G>(dk, space, q, d, W, first);
    attention_add<G>(dv, p, dy, d, W, first);
}

// dqkv is set, dbias is added to. space: 6 (W - 1 + length) d + 4 W
template <class T>
static void attention_backward(T* dqkv, T* dbias, const T* dy, const T* p, const T* qkv, const T* past,
                               T* space, int B, int length, int heads, int d, int W) {
    int n = W - 1 + length, row = (heads + 2) * d;
    size_t size = static_cast<size_t>(n) * d;
    T *dk = space + 4 * size, *dv = space + 5 * size, *ds = space + 6 * size;
    for (int b = 0; b < B; ++b) {
        const T* mine = qkv + static_cast<size_t>(b) * length * row;
        T* dmine = dqkv + static_cast<size_t>(b) * length * row;
        attention_gather(space, mine, past + static_cast<size_t>(b) * (W - 1) * 2 * d, length, heads, d, W);
        for (size_t i = 0; i < 2 * size; ++i) dk[i] = 0;
        for (int t = 0; t < length; ++t) {
            const T *q = mine + static_cast<size_t>(t) * row, *k = space + static_cast<size_t>(t) * d,
                    *vt = space + 3 * size + t;
            T *dq = dmine + static_cast<size_t>(t) * row, *dkt = dk + static_cast<size_t>(t) * d,
              *dvt = dv + static_cast<size_t>(t) * d;
            size_t at = (static_cast<size_t>(b) * length + t) * heads;
            int h = 0, first = t < W - 1 ? W - 1 - t : 0;
            for (; h + kAttentionHeads <= heads; h += kAttentionHeads)
                attention_return<kAttentionHeads>(dq + h * d, dkt, dvt, dbias + h * W, dy + (at + h) * d,
                                                  p + (at + h) * W, q + h * d, k, vt, ds, d, n, W, first);
            for (; h < heads; ++h)
                attention_return<1>(dq + h * d, dkt, dvt, dbias + h * W, dy + (at + h) * d, p + (at + h) * W,
                                    q + h * d, k, vt, ds, d, n, W, first);
        }
        for (int t = 0; t < length; ++t) {
            T* to = dmine + static_cast<size_t>(t) * row + heads * d;
            for (int i = 0; i < d; ++i) to[i] = dk[static_cast<size_t>(t + W - 1) * d + i];
            for (int i = 0; i < d; ++i) to[d + i] = dv[static_cast<size_t>(t + W - 1) * d + i];
        }
    }
}
