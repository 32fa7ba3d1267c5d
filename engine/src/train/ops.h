// The operators of training: one definition each (ops/<op>.h), compiled once per instruction set into a table
// of functions. float is what trains; double exists for the reference table alone, where finite differences
// need it. All arrays lie in the table's memory, but ids and targets, which lie in the host's.
#pragma once
#include <cstddef>

#include "memory.h"

namespace plm::train {

// What Muon updates: weight, momentum and gradient (rows, columns).
template <class T>
struct MuonMatrix {
    T *weight, *m;
    const T* grad;
    int rows, columns;
    T decay;

    // Numbers that an update needs to work with.
    size_t space() const {
        size_t size = static_cast<size_t>(rows) * columns, side = rows < columns ? rows : columns;
        return 2 * (size + side * side);
    }
};

template <class T>
struct Ops {
    const char* name;
    const Memory* memory;
    void (*add)(T* out, const T* inp, size_t n);  // out += inp
    double (*sum_of_squares)(const T* inp, size_t n);
    void (*embedding_forward)(T* out, const T* table, const int* ids, int M, int D, bool accumulate);
    void (*embedding_backward)(T* dtable, const T* dout, const int* ids, int M, int D);
    void (*rmsnorm_forward)(T* out, T* rinv, const T* inp, const T* weight, int M, int D);
    void (*rmsnorm_backward)(T* dinp, T* dweight, const T* dout, const T* inp, const T* rinv, const T* weight,
                             int M, int D);
    void (*conv_forward)(T* out, const T* inp, const T* history, const T* weight, int B, int length, int D);
    void (*conv_backward)(T* dinp, T* dweight, const T* dout, const T* inp, const T* history, const T* weight,
                          int B, int length, int D);
    void (*scan_forward)(T* y, T* a, T* s, const T* fvo, const T* bias, const T* s0, int B, int length,
                         int R);
    void (*scan_backward)(T* dfvo, T* dbias, const T* dy, const T* fvo, const T* a, const T* s, const T* s0,
                          int B, int length, int R);
    void (*attention_forward)(T* y, T* p, const T* qkv, const T* past, const T* bias, T* space, int B,
                              int length, int heads, int d, int W);
    void (*attention_backward)(T* dqkv, T* dbias, const T* dy, const T* p, const T* qkv, const T* past,
                               T* space, int B, int length, int heads, int d, int W);
    void (*swiglu_forward)(T* out, const T* inp, int M, int F);
    void (*swiglu_backward)(T* dinp, const T* dout, const T* inp, int M, int F);
    void (*bilinear_forward)(T* out, const T* inp, int M, int F);
    void (*bilinear_backward)(T* dinp, const T* dout, const T* inp, int M, int F);
    void (*groupnorm_forward)(T* out, T* rinv, const T* inp, int groups, int g);
    void (*groupnorm_backward)(T* dinp, const T* dout, const T* out, const T* rinv, int groups, int g);
    void (*cross_entropy_forward)(T* losses, const T* logits, const unsigned char* targets, int M, int V);
    void (*cross_entropy_backward)(T* dlogits, const T* logits, const unsigned char* targets, T scale, int M,
                                   int V);
    void (*adamw_update)(T* weight, T* m, T* v, const T* grad, size_t n, T rate, T beta1, T beta2, T epsilon,
                         T decay, T clip, T correction1, T correction2);
    // `space` is that of all matrices: a device takes them together.
    void (*muon_update)(const Ops& ops, const MuonMatrix<T>* matrices, int count, T* space, T rate,
                        T momentum, T clip);
    void (*matmul_forward)(T* out, const T* inp, const T* weight, int M, int N, int K, bool accumulate);
    void (*matmul_backward_input)(T* dinp, const T* dout, const T* weight, int M, int N, int K,
                                  bool accumulate);
    void (*matmul_backward_weight)(T* dweight, const T* dout, const T* inp, int M, int N, int K);
    void (*matmul_gram)(T* out, const T* inp, int M, int K, bool transposed);
    // The products' innermost loop alone, on operands that stay in the first cache: what they can reach at
    // most. Returns the floating-point operations done.
    double (*matmul_burst)(int repeats);
};

extern const Ops<float> ops_portable;
extern const Ops<double> ops_float64;  // the reference for tests
#if defined(__x86_64__)
extern const Ops<float> ops_avx2;
extern const Ops<float> ops_avx512;
extern const Ops<float> ops_avx512bf16;  // matrix products in bf16 with float32 sums, the rest as ops_avx512
#elif defined(__aarch64__)
extern const Ops<float> ops_neon;
extern const Ops<float> ops_neonbf16;  // matrix products in bf16 with float32 sums, the rest as ops_neon
#endif

// The best table for this processor, or the one named (portable; avx2, avx512, avx512bf16; neon, neonbf16).
// Throws std::invalid_argument for a name that is unknown or that the processor lacks.
const Ops<float>& select_ops(const char* name);
// Peak FLOP/s of the table's matmul_burst on so many threads at once within `seconds`: other programs on the
// machine should not lower the bound.
double peak_flops(const Ops<float>& ops, int threads, double seconds);
// Names of the tables that run here, best first, ended by nullptr.
const char* const* supported_ops();

}  // namespace plm::train
