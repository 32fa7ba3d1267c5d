// Causal attention over a window of the last W characters, with one key and value for all heads and a learned
// bias for every head and distance. Definition: engine/src/train/ops/attention.h.
//
// A block takes kTimes queries of one sequence and up to four heads. The W - 1 + kTimes rows that they see
// lie in shared memory, first one kind (keys, or values), then the other. A lane takes every 32nd key for all
// four heads, so that a key is read once for four products.
#include "device_math.h"
#include "reduce.h"

namespace {

constexpr int kTimes = 16, kWarps = 8, kThreads = kWarps * kWarp, kHeads = 4;
constexpr size_t kMostShared = 99u << 10;

struct Shape {
    int length, heads, d, W;
    __host__ __device__ int row() const { return (heads + 2) * d; }
    __host__ __device__ int seen() const { return W - 1 + kTimes; }
    __host__ __device__ size_t shared() const {
        return sizeof(float) *
               (static_cast<size_t>(seen()) * (d + 1) + static_cast<size_t>(kTimes) * d * kHeads);
    }
};

// Which queries and heads a block has.
struct Place {
    int b, t0, h0, warp, lane;
    __device__ size_t at(const Shape& s, int t) const { return static_cast<size_t>(b) * s.length + t; }
};

__device__ __forceinline__ Place place_of() {
    int thread = static_cast<int>(threadIdx.x);
    return {static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.x) * kTimes,
            static_cast<int>(blockIdx.z) * kHeads, thread / kWarp, thread % kWarp};
}

// rows[n] = row t0 + n of keys (which 0) or values (which 1), counted from W - 1 before the window; zeros
// past its end.
__device__ void load_rows(float* rows, const float* qkv, const float* past, const Shape& s, const Place& p,
                          int which) {
    for (int at = static_cast<int>(threadIdx.x); at < s.seen() * s.d; at += kThreads) {
        int n = at / s.d, i = at % s.d, t = p.t0 + n - (s.W - 1);
        float value = 0;
        if (t < 0) {
            value = past[((static_cast<size_t>(p.b) * (s.W - 1) + t + s.W - 1) * 2 + which) * s.d + i];
        } else if (t < s.length) {
            value = qkv[p.at(s, t) * s.row() + (s.heads + which) * s.d + i];
        }
        rows[n * (s.d + 1) + i] = value;
    }
}

// heads[t][i][h] = x of this block's queries and heads (x: d numbers for each head, `stride` for each time)
__device__ void load_heads(float* heads, const float* x, int stride, const Shape& s, const Place& p) {
    for (int at = static_cast<int>(threadIdx.x); at < kTimes * kHeads * s.d; at += kThreads) {
        int i = at % s.d, h = at / s.d % kHeads, tt = at / s.d / kHeads;
        bool inside = p.t0 + tt < s.length && p.h0 + h < s.heads;
        heads[(tt * s.d + i) * kHeads + h] =
            inside ? x[p.at(s, p.t0 + tt) * stride + (p.h0 + h) * s.d + i] : 0.0f;
    }
}

// sums[h] = heads[tt][., h] . rows[tt + j]
__device__ __forceinline__ void products(float (&sums)[kHeads], const float* heads, const float* rows,
                                         const Shape& s, int tt, int j) {
    const float* row = rows + (tt + j) * (s.d + 1);
    const float4* head = reinterpret_cast<const float4*>(heads + tt * s.d * kHeads);
    for (int h = 0; h < kHeads; ++h) sums[h] = 0;
    for (int i = 0; i < s.d; ++i) {
        float4 x = head[i];
        sums[0] = fmaf(x.x, row[i], sums[0]), sums[1] = fmaf(x.y, row[i], sums[1]);
        sums[2] = fmaf(x.z, row[i], sums[2]), sums[3] = fmaf(x.w, row[i], sums[3]);
    }
}

// out[h][i] = scale * the sum over j of weights[h][j] rows[tt + j][i]; out: d numbers for each head
__device__ __forceinline__ void mix(float* out, int heads, const float* weights, const float* rows,
                                    const Shape& s, const Place& p, int tt, float scale) {
    for (int h = 0; h < heads; ++h) {
        for (int i = p.lane; i < s.d; i += kWarp) {
            float sum = 0;
            for (int j = 0; j < s.W; ++j)
                sum = fmaf(weights[h * s.W + j], rows[(tt + j) * (s.d + 1) + i], sum);
            out[h * s.d + i] = scale * sum;
        }
    }
}

// w becomes its softmax; each lane has every 32nd.
__device__ __forceinline__ void softmax(float* w, float top, const Shape& s, int lane) {
    float total = 0;
    top = warp_max(top);
    for (int j = lane; j < s.W; j += kWarp) total += w[j] = expf(w[j] - top);
    total = warp_sum(total);
    for (int j = lane; j < s.W; j += kWarp) w[j] /= total;
}

__global__ void __launch_bounds__(kThreads)
    attention_forward_kernel(float* y, float* w, const float* qkv, const float* past, const float* bias,
                             Shape s) {
    DYN_SHARED(float, heads);
    float* rows = heads + kTimes * s.d * kHeads;
    Place p = place_of();
    int mine = min(kHeads, s.heads - p.h0);
    load_heads(heads, qkv, s.row(), s, p);
    load_rows(rows, qkv, past, s, p, 0);
    __syncthreads();
    float scale = 1.0f / sqrtf(static_cast<float>(s.d));
    for (int tt = p.warp; tt < kTimes && p.t0 + tt < s.length; tt += kWarps) {
        float* to = w + (p.at(s, p.t0 + tt) * s.heads + p.h0) * s.W;
        float top[kHeads] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
        for (int j = p.lane; j < s.W; j += kWarp) {
            float sums[kHeads];
            products(sums, heads, rows, s, tt, j);
#pragma unroll
            for (int h = 0; h < kHeads; ++h) {
                if (h >= mine) break;
                float score = scale * sums[h] + bias[(p.h0 + h) * s.W + j];
                to[h * s.W + j] = score;
                top[h] = fmaxf(top[h], score);
            }
        }
#pragma unroll
        for (int h = 0; h < kHeads; ++h)
            if (h < mine) softmax(to + h * s.W, top[h], s, p.lane);
    }
    __syncthreads();
    load_rows(rows, qkv, past, s, p, 1);
    __syncthreads();
    for (int tt = p.warp; tt < kTimes && p.t0 + tt < s.length; tt += kWarps) {
        size_t at = p.at(s, p.t0 + tt) * s.heads + p.h0;
        mix(y + at * s.d, mine, w + at * s.W, rows, s, p, tt, 1.0f);
    }
}

// ds = the gradient of the scores, dq from it, and this block's share of dbias, (heads, W), in `share`.
__global__ void __launch_bounds__(kThreads)
    attention_backward_query_kernel(float* dqkv, float* ds, float* share, const float* dy, const float* w,
                                    const float* qkv, const float* past, Shape s) {
    DYN_SHARED(float, heads);
    float* rows = heads + kTimes * s.d * kHeads;
    Place p = place_of();
    int mine = min(kHeads, s.heads - p.h0);
    load_heads(heads, dy, s.heads * s.d, s, p);
    load_rows(rows, qkv, past, s, p, 1);
    __syncthreads();
    for (int tt = p.warp; tt < kTimes && p.t0 + tt < s.length; tt += kWarps) {
        size_t at = (p.at(s, p.t0 + tt) * s.heads + p.h0) * s.W;
        float mean[kHeads] = {};
        for (int j = p.lane; j < s.W; j += kWarp) {
            float sums[kHeads];
            products(sums, heads, rows, s, tt, j);
#pragma unroll
            for (int h = 0; h < kHeads; ++h) {
                if (h >= mine) break;
                ds[at + h * s.W + j] = sums[h];
                mean[h] += w[at + h * s.W + j] * sums[h];
            }
        }
#pragma unroll
        for (int h = 0; h < kHeads; ++h) {
            if (h >= mine) break;
            float all = warp_sum(mean[h]);
            for (int j = p.lane; j < s.W; j += kWarp) {
                size_t k = at + h * s.W + j;
                ds[k] = w[k] * (ds[k] - all);
            }
        }
    }
    __syncthreads();
    load_rows(rows, qkv, past, s, p, 0);
    int last = min(kTimes, s.length - p.t0);
    for (int at = static_cast<int>(threadIdx.x); at < mine * s.W; at += kThreads) {
        float sum = 0;
        for (int tt = 0; tt < last; ++tt) sum += ds[(p.at(s, p.t0 + tt) * s.heads + p.h0) * s.W + at];
        size_t block = static_cast<size_t>(blockIdx.y) * gridDim.x + blockIdx.x;
        share[(block * s.heads + p.h0) * s.W + at] = sum;
    }
    __syncthreads();
    float scale = 1.0f / sqrtf(static_cast<float>(s.d));
    for (int tt = p.warp; tt < last; tt += kWarps) {
        size_t at = p.at(s, p.t0 + tt);
        mix(dqkv + at * s.row() + p.h0 * s.d, mine, ds + (at * s.heads + p.h0) * s.W, rows, s, p, tt, scale);
    }
}

// dk and dv of a key, from the W queries that saw it: a warp for a key.
__global__ void attention_backward_key_kernel(float* dqkv, const float* ds, const float* dy, const float* w,
                                              const float* qkv, Shape s) {
    int lane = static_cast<int>(threadIdx.x), b = static_cast<int>(blockIdx.y);
    int key = static_cast<int>(blockIdx.x * kWarps + threadIdx.y), last = min(key + s.W, s.length);
    if (key >= s.length) return;
    float scale = 1.0f / sqrtf(static_cast<float>(s.d));
    size_t lane0 = static_cast<size_t>(b) * s.length;
    for (int i = lane; i < s.d; i += kWarp) {
        float dk = 0, dv = 0;
        for (int t = key; t < last; ++t) {
            for (int h = 0; h < s.heads; ++h) {
                size_t row = lane0 + t, at = (row * s.heads + h) * s.W + s.W - 1 - (t - key);
                dk = fmaf(ds[at], qkv[row * s.row() + h * s.d + i], dk);
                dv = fmaf(w[at], dy[(row * s.heads + h) * s.d + i], dv);
            }
        }
        float* to = dqkv + (lane0 + key) * s.row() + s.heads * s.d + i;
        to[0] = scale * dk;
        to[s.d] = dv;
    }
}

dim3 grid_of(int B, const Shape& s) {
    return dim3(static_cast<unsigned>(ceil_div(s.length, kTimes)), static_cast<unsigned>(B),
                static_cast<unsigned>(ceil_div(s.heads, kHeads)));
}

}  // namespace

// y (B, length, heads d), w (B, length, heads, W) oldest first, kept for backward; qkv (B, length, (heads +
// 2) d), past (B, W - 1, 2 d), bias (heads, W). (W + 15) (d + 1) + 64 d floats must fit 99 KB.
PLM_API attention_forward(float* y, float* w, const float* qkv, const float* past, const float* bias, int B,
                          int length, int heads, int d, int W, cudaStream_t stream) {
    Shape s{length, heads, d, W};
    if (s.shared() > kMostShared) return cudaErrorInvalidValue;
    return launch(attention_forward_kernel, grid_of(B, s), kThreads, s.shared(), stream, y, w, qkv, past,
                  bias, s);
}

// dqkv is set, dbias is added to. ds as w; space (B * ceil(length / 16), heads * W)
PLM_API attention_backward(float* dqkv, float* dbias, float* ds, float* space, const float* dy,
                           const float* w, const float* qkv, const float* past, int B, int length, int heads,
                           int d, int W, cudaStream_t stream) {
    Shape s{length, heads, d, W};
    if (s.shared() > kMostShared) return cudaErrorInvalidValue;
    cudaError_t error = launch(attention_backward_query_kernel, grid_of(B, s), kThreads, s.shared(), stream,
                               dqkv, ds, space, dy, w, qkv, past, s);
    if (error != cudaSuccess) return error;
    error = launch(attention_backward_key_kernel,
                   dim3(static_cast<unsigned>(ceil_div(length, kWarps)), static_cast<unsigned>(B)),
                   dim3(kWarp, kWarps), 0, stream, dqkv, ds, dy, w, qkv, s);
    if (error != cudaSuccess) return error;
    return add_column_sums(dbias, space, B * ceil_div(length, kTimes), heads * W, stream);
}
