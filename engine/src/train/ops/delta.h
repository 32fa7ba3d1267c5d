// Gated delta rule (Yang, Kautz and Hatamizadeh, 2024, arXiv:2412.06464): every head has a state matrix S,
// written to by correcting what it answers to a key:
//   a = sigmoid(rate_a + bias);  b = sigmoid(rate_b);  k and q are brought to length 1
//   S <- a (S - b (S k) k^T) + b v k^T;  y = (S q) silu(o)
// S lies transposed, row i for k[i], so that every loop runs along v. Forward keeps S every kDeltaChunk
// steps; backward computes what lies between again.

// One row of one head, its q and k normalised.
template <class T>
struct DeltaInput {
    T q[kDeltaLargest], k[kDeltaLargest], q_scale, k_scale, a, b;
    const T *v, *o;
};

template <class T>
static inline T delta_unit(T* out, const T* x, int d) {
    T sum = 0;
    for (int i = 0; i < d; ++i) sum += x[i] * x[i];
    T scale = T(1) / sqrt_of(sum + T(1e-6));
    for (int i = 0; i < d; ++i) out[i] = x[i] * scale;
    return scale;
}

template <class T>
static inline void delta_read(DeltaInput<T>& in, const T* qkvo, const T* rates, const T* bias, int h,
                              int heads, int d) {
    const T* q = qkvo + h * d;
    int all = heads * d;
    in.q_scale = delta_unit(in.q, q, d), in.k_scale = delta_unit(in.k, q + all, d);
    in.v = q + 2 * all, in.o = q + 3 * all;
    in.a = sigmoid(rates[h] + bias[h]), in.b = sigmoid(rates[heads + h]);
}

// out[j] = sum_i x[i] S[i][j]
template <class T, int D>
static inline void delta_answer(T* out, const T* x, const T* S, int dims) {
    const int d = D ? D : dims;
    T sum[kDeltaLargest] = {};
    for (int i = 0; i < d; ++i)
        for (int j = 0; j < d; ++j) sum[j] += x[i] * S[i * d + j];
    for (int j = 0; j < d; ++j) out[j] = sum[j];
}

// `next` may be S.
template <class T, int D>
static inline void delta_write(T* next, const T* S, const DeltaInput<T>& in, int dims) {
    const int d = D ? D : dims;
    T w[kDeltaLargest];
    delta_answer<T, D>(w, in.k, S, d);
    for (int j = 0; j < d; ++j) w[j] = in.b * (in.v[j] - in.a * w[j]);
    for (int i = 0; i < d; ++i) {
#pragma GCC ivdep
        for (int j = 0; j < d; ++j) next[i * d + j] = in.a * S[i * d + j] + in.k[i] * w[j];
    }
}

template <class T, int D>
static void delta_forward_of(T* y, T* states, const T* qkvo, const T* rates, const T* bias, const T* s0,
                             int B, int length, int heads, int dims) {
    const int d = D ? D : dims, square = d * d, kept = (length + kDeltaChunk - 1) / kDeltaChunk + 1;
    for (int b = 0; b < B; ++b) {
        for (int h = 0; h < heads; ++h) {
            size_t at = static_cast<size_t>(b) * heads + h;
            T* slots = states + at * kept * square;
            const T* before = s0 + at * square;
            T S[kDeltaLargest * kDeltaLargest];
            for (int i = 0; i < square; ++i) S[i] = before[i];
            for (int t = 0; t <= length; ++t) {
                if (t % kDeltaChunk == 0 || t == length) {
                    for (int i = 0; i < square; ++i) slots[i] = S[i];
                    slots += square;
                }
                if (t == length) break;
                size_t row = static_cast<size_t>(b) * length + t;
                DeltaInput<T> in;
                delta_read(in, qkvo + row * 4 * heads * d, rates + row * 2 * heads, bias, h, heads, d);
                delta_write<T, D>(S, S, in, d);
                T answer[kDeltaLargest];
                delta_answer<T, D>(answer, in.q, S, d);
                T* out = y + (row * heads + h) * d;
                for (int j = 0; j < d; ++j) out[j] = answer[j] * in.o[j] * sigmoid(in.o[j]);
            }
        }
    }
}

// Gradient of x at n = x * scale, |n| = 1
template <class T>
static inline void delta_unit_backward(T* dx, const T* dn, const T* n, T scale, int d) {
    T dot = 0;
    for (int i = 0; i < d; ++i) dot += dn[i] * n[i];
    for (int i = 0; i < d; ++i) dx[i] = scale * (dn[i] - n[i] * dot);
}

// One step back, from S0 to S1: dS is the gradient at S1 on entry, at S0 on return. dqkvo points at the
// head's q.
template <class T, int D>
static inline void delta_step_backward(T* dS, T* dqkvo, T* drate_a, T* drate_b, T* dbias, const T* g,
                                       const T* S0, const T* S1, const DeltaInput<T>& in, int all, int dims) {
    const int d = D ? D : dims;
    const T a = in.a, b = in.b;
    T answer[kDeltaLargest], dy[kDeltaLargest], dq[kDeltaLargest], dk[kDeltaLargest];
    T error[kDeltaLargest], w[kDeltaLargest], dw[kDeltaLargest] = {}, du[kDeltaLargest];
    T kept[kDeltaLargest] = {};
    delta_answer<T, D>(answer, in.q, S1, d);
    for (int j = 0; j < d; ++j) {
        T gate = sigmoid(in.o[j]);
        dqkvo[3 * all + j] = g[j] * answer[j] * gate * (T(1) + in.o[j] * (T(1) - gate));
        dy[j] = g[j] * in.o[j] * gate;
    }
    for (int i = 0; i < d; ++i) {
        T dot = 0;
        for (int j = 0; j < d; ++j) dot += S1[i * d + j] * dy[j];
        dq[i] = dot;
        for (int j = 0; j < d; ++j) {
            T both = dS[i * d + j] + in.q[i] * dy[j];
            dS[i * d + j] = both;
            dw[j] += in.k[i] * both;
            kept[j] += both * S0[i * d + j];
        }
    }
    delta_answer<T, D>(answer, in.k, S0, d);
    T da = 0, db = 0;
    for (int j = 0; j < d; ++j) {
        error[j] = in.v[j] - a * answer[j];
        w[j] = b * error[j];
        db += dw[j] * error[j];
        da += kept[j] - b * dw[j] * answer[j];
        dqkvo[2 * all + j] = b * dw[j];
        du[j] = -a * b * dw[j];
    }
    for (int i = 0; i < d; ++i) {
        T dot = 0;
        for (int j = 0; j < d; ++j) dot += dS[i * d + j] * w[j] + S0[i * d + j] * du[j];
        dk[i] = dot;
        for (int j = 0; j < d; ++j) dS[i * d + j] = a * dS[i * d + j] + in.k[i] * du[j];
    }
    delta_unit_backward(dqkvo, dq, in.q, in.q_scale, d);
    delta_unit_backward(dqkvo + all, dk, in.k, in.k_scale, d);
    *drate_a = da * a * (T(1) - a);
    *drate_b = db * b * (T(1) - b);
    *dbias += *drate_a;
}

template <class T, int D>
static void delta_backward_of(T* dqkvo, T* drates, T* dbias, const T* dy, const T* states, const T* qkvo,
                              const T* rates, const T* bias, T* space, int B, int length, int heads,
                              int dims) {
    const int d = D ? D : dims, square = d * d, all = heads * d;
    const int chunks = (length + kDeltaChunk - 1) / kDeltaChunk;
    T *dS = space, *slots = space + square;
    for (int b = 0; b < B; ++b) {
        for (int h = 0; h < heads; ++h) {
            const T* kept = states + (static_cast<size_t>(b) * heads + h) * (chunks + 1) * square;
            for (int i = 0; i < square; ++i) dS[i] = 0;
            for (int c = chunks - 1; c >= 0; --c) {
                int first = c * kDeltaChunk, n = length - first < kDeltaChunk ? length - first : kDeltaChunk;
                DeltaInput<T> in[kDeltaChunk];
                for (int i = 0; i < square; ++i) slots[i] = kept[static_cast<size_t>(c) * square + i];
                for (int t = 0; t < n; ++t) {
                    size_t row = static_cast<size_t>(b) * length + first + t;
                    delta_read(in[t], qkvo + row * 4 * all, rates + row * 2 * heads, bias, h, heads, d);
                    delta_write<T, D>(slots + (t + 1) * square, slots + t * square, in[t], d);
                }
                for (int t = n - 1; t >= 0; --t) {
                    size_t row = static_cast<size_t>(b) * length + first + t;
                    T* dr = drates + row * 2 * heads;
                    delta_step_backward<T, D>(dS, dqkvo + row * 4 * all + h * d, dr + h, dr + heads + h,
                                              dbias + h, dy + (row * heads + h) * d, slots + t * square,
                                              slots + (t + 1) * square, in[t], all, d);
                }
            }
        }
    }
}

// y (B, length, heads * d), states (B, heads, ceil(length / kDeltaChunk) + 1, d, d), the last one that after
// the window; qkvo (B, length, 4 * heads * d), rates (B, length, 2 * heads): a then b; bias (heads), s0 (B,
// heads, d, d)
template <class T>
static void delta_forward(T* y, T* states, const T* qkvo, const T* rates, const T* bias, const T* s0, int B,
                          int length, int heads, int d) {
    auto* of = d == 16 ? delta_forward_of<T, 16> : d == 32 ? delta_forward_of<T, 32> : delta_forward_of<T, 0>;
    of(y, states, qkvo, rates, bias, s0, B, length, heads, d);
}

// dqkvo and drates are set, dbias is added to; space (kDeltaChunk + 2) d * d
template <class T>
static void delta_backward(T* dqkvo, T* drates, T* dbias, const T* dy, const T* states, const T* qkvo,
                           const T* rates, const T* bias, T* space, int B, int length, int heads, int d) {
    auto* of = d == 16   ? delta_backward_of<T, 16>
               : d == 32 ? delta_backward_of<T, 32>
                         : delta_backward_of<T, 0>;
    of(dqkvo, drates, dbias, dy, states, qkvo, rates, bias, space, B, length, heads, d);
}
