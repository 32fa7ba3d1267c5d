// Gated linear recurrence: a = sigmoid(f + bias); s[t] = a s[t-1] + (1 - a) v; y = s * silu(o), with f, v, o
// the thirds of an input row. Definition: engine/src/train/ops/scan.h.
//
// Chunked, so that long sequences do not wait for one thread a channel: kChunks threads go through a part of
// the time each as if the state before it were zero, their parts are joined in kChunks short steps (the
// recurrence is linear: s_end = A s_start + S), and each goes through its part again from the true state.
// The second pass finds its numbers in L2.
#include "device_math.h"
#include "reduce.h"

namespace {

constexpr int kChunks = 16;

struct Part {
    int channel, lane, first, last;  // the sequence of the batch; times [first, last)
};

__device__ __forceinline__ Part part_of(int length) {
    int each = ceil_div(length, kChunks), first = static_cast<int>(threadIdx.y) * each;
    return {static_cast<int>(blockIdx.x * kWarp + threadIdx.x), static_cast<int>(blockIdx.y),
            min(first, length), min(first + each, length)};
}

__global__ void __launch_bounds__(kWarp* kChunks)
    scan_forward_kernel(float* y, float* a, float* s, const float* fvo, const float* bias, const float* s0,
                        int length, int R) {
    SHARED(float, decays, [kChunks][kWarp]);
    SHARED(float, states, [kChunks][kWarp]);
    int x = static_cast<int>(threadIdx.x), c = static_cast<int>(threadIdx.y);
    Part p = part_of(length);
    bool inside = p.channel < R;
    size_t row = static_cast<size_t>(p.lane) * length + p.first;
    float decay = 1.0f, state = 0.0f, b = inside ? bias[p.channel] : 0.0f;
    const float* in = fvo + row * 3 * R + p.channel;
    for (int t = p.first; inside && t < p.last; ++t, in += 3 * static_cast<size_t>(R)) {
        float keep = sigmoid(in[0] + b), v = in[R];
        decay *= keep;
        state = v + keep * (state - v);
        a[(row + t - p.first) * R + p.channel] = keep;
    }
    decays[c][x] = decay, states[c][x] = state;
    __syncthreads();
    state = inside ? s0[static_cast<size_t>(p.lane) * R + p.channel] : 0.0f;
    for (int i = 0; i < c; ++i) state = states[i][x] + decays[i][x] * state;
    in = fvo + row * 3 * R + p.channel;
    size_t at = row * R + p.channel;
    for (int t = p.first; inside && t < p.last;
         ++t, in += 3 * static_cast<size_t>(R), at += static_cast<size_t>(R)) {
        float v = in[R], o = in[2 * R];
        state = v + a[at] * (state - v);
        s[at] = state;
        y[at] = state * o * sigmoid(o);
    }
}

// The gradient of the state runs backward in time: carry[t-1] = a[t] (dy[t] silu(o[t]) + carry[t]).
// space (B, R): each sequence's share of dbias
__global__ void __launch_bounds__(kWarp* kChunks)
    scan_backward_kernel(float* dfvo, float* space, const float* dy, const float* fvo, const float* a,
                         const float* s, const float* s0, int length, int R) {
    SHARED(float, decays, [kChunks][kWarp]);
    SHARED(float, carries, [kChunks][kWarp]);
    SHARED(float, sums, [kChunks][kWarp]);
    int x = static_cast<int>(threadIdx.x), c = static_cast<int>(threadIdx.y);
    Part p = part_of(length);
    bool inside = p.channel < R;
    size_t row = static_cast<size_t>(p.lane) * length;
    float decay = 1.0f, carry = 0.0f, sum = 0.0f;
    for (int t = p.last - 1; inside && t >= p.first; --t) {
        size_t at = (row + t) * R + p.channel;
        float o = fvo[(row + t) * 3 * R + 2 * R + p.channel], keep = a[at];
        decay *= keep;
        carry = keep * (dy[at] * o * sigmoid(o) + carry);
    }
    decays[c][x] = decay, carries[c][x] = carry;
    __syncthreads();
    carry = 0.0f;
    for (int i = kChunks - 1; i > c; --i) carry = carries[i][x] + decays[i][x] * carry;
    for (int t = p.last - 1; inside && t >= p.first; --t) {
        size_t at = (row + t) * R + p.channel, in = (row + t) * 3 * R + p.channel;
        float v = fvo[in + R], o = fvo[in + 2 * R], keep = a[at], g = dy[at], gate = sigmoid(o);
        float before = t > 0 ? s[at - R] : s0[static_cast<size_t>(p.lane) * R + p.channel];
        float ds = g * o * gate + carry, df = ds * (before - v) * keep * (1.0f - keep);
        dfvo[in] = df;
        dfvo[in + R] = ds * (1.0f - keep);
        dfvo[in + 2 * R] = g * s[at] * gate * (1.0f + o * (1.0f - gate));
        sum += df;
        carry = ds * keep;
    }
    sums[c][x] = sum;
    __syncthreads();
    if (c == 0 && inside) {
        for (int i = 1; i < kChunks; ++i) sum += sums[i][x];
        space[static_cast<size_t>(p.lane) * R + p.channel] = sum;
    }
}

dim3 grid_of(int B, int R) {
    return dim3(static_cast<unsigned>(ceil_div(R, kWarp)), static_cast<unsigned>(B));
}

}  // namespace

// y, a, s (B, length, R), fvo (B, length, 3R), bias (R), s0 (B, R); a and s are kept for backward
PLM_API scan_forward(float* y, float* a, float* s, const float* fvo, const float* bias, const float* s0,
                     int B, int length, int R, cudaStream_t stream) {
    return launch(scan_forward_kernel, grid_of(B, R), dim3(kWarp, kChunks), 0, stream, y, a, s, fvo, bias, s0,
                  length, R);
}

// dfvo is set, dbias is added to. space (B, R)
PLM_API scan_backward(float* dfvo, float* dbias, float* space, const float* dy, const float* fvo,
                      const float* a, const float* s, const float* s0, int B, int length, int R,
                      cudaStream_t stream) {
    cudaError_t error = launch(scan_backward_kernel, grid_of(B, R), dim3(kWarp, kChunks), 0, stream, dfvo,
                               space, dy, fvo, a, s, s0, length, R);
    if (error != cudaSuccess) return error;
    return add_column_sums(dbias, space, B, R, stream);
}
