// The float work of a wyGPT model, compiled for several instruction sets as vector_ops.h is: the same bits
// on all of them, for sizes of any kind.
#pragma once

#include <cstdint>

namespace plm::infer {

// Columns of a float matrix that lie side by side: weight [N,K] is packed as [N/32 rounded up][K][32].
constexpr int kPanel = 32;

struct WygptOps {
    const char* name;

    // out[M,N] = x[M,K] @ weight[N,K]^T. Sums go from the first input to the last, whatever M.
    void (*matmul_f32)(float* out, const float* x, const float* panels, int M, int N, int K);

    // Each group of `group` values in x[n]: less its mean, divided by the root of its mean square.
    void (*norm)(float* x, int n, int group);

    // out = a * b
    void (*multiply)(float* out, const float* a, const float* b, int n);

    // x += y
    void (*add)(float* x, const float* y, int n);

    // quantized <- x[n]; returns the scale of the row.
    float (*quantize)(int8_t* quantized, const float* x, int n);

    // One head's answer to one query: out[r] = softmax(query @ keys / sqrt(r) + bias) @ values. keys
    // [r][stride], values [count][r], bias and scratch [count].
    void (*attend)(float* out, float* scratch, const float* query, const float* keys, const float* values,
                   const float* bias, int count, int stride, int r);
};

extern const WygptOps wygpt_ops_portable;
#if defined(__x86_64__)
extern const WygptOps wygpt_ops_avx2, wygpt_ops_avx512;
#elif defined(__aarch64__)
extern const WygptOps wygpt_ops_neon;
#endif

}  // namespace plm::infer
