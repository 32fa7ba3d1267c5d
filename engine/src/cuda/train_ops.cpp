#include "train_ops.h"

#include <cuda_bf16.h>

#include <algorithm>
#include <vector>

#include "cuda/device.h"
#include "cuda/muon.h"

namespace plm::train {
namespace {

using plm_cuda::check;
using plm_cuda::Scratch;

// Never destroyed: at the end of the program the driver may be gone first.
plm_cuda::Stream& stream() {
    static auto& only = *new plm_cuda::Stream;
    return only;
}

template <class T>
struct Space : Scratch<T> {
    explicit Space(size_t n) : Scratch<T>(stream(), n) {}
    Space(const T* host, int n) : Scratch<T>(stream(), host, static_cast<size_t>(n)) {}
};

size_t area(int a, int b) {
    return static_cast<size_t>(a) * static_cast<size_t>(b);
}

const Memory memory{true,
                    [](size_t bytes) { return stream().allocate(bytes); },
                    [](void* data) { stream().release(data); },
                    [](void* data, size_t bytes) { stream().zero(data, bytes); },
                    [](void* to, size_t to_stride, const void* from, size_t from_stride, size_t width,
                       size_t rows) { stream().copy_rows(to, to_stride, from, from_stride, width, rows); },
                    [](void* to, const void* host, size_t bytes) { stream().write(to, host, bytes); },
                    [](void* host, const void* from, size_t bytes) { stream().read(host, from, bytes); }};

#define RUN(name, ...) check(::name(__VA_ARGS__, stream().handle()), #name)

void add(float* out, const float* inp, size_t n) {
    RUN(add, out, inp, n);
}

double sum_of_squares(const float* inp, size_t n) {
    Space<double> out(1), space(128);
    RUN(sum_of_squares, out, space, inp, static_cast<int>(n));
    double sum;
    stream().read(&sum, out, sizeof sum);
    return sum;
}

void embedding_forward(float* out, const float* table, const int* ids, int M, int D, bool accumulate) {
    Space<int> rows(ids, M);
    RUN(embedding_forward, out, table, rows, M, D, accumulate);
}

// The kernel wants the places sorted by the row that they go to.
void embedding_backward(float* dtable, const float* dout, const int* ids, int M, int D) {
    int rows = *std::max_element(ids, ids + M) + 1;
    std::vector<int> starts(static_cast<size_t>(rows) + 1), order(static_cast<size_t>(M));
    for (int m = 0; m < M; ++m) ++starts[ids[m] + 1];
    for (int r = 0; r < rows; ++r) starts[r + 1] += starts[r];
    std::vector<int> next(starts);
    for (int m = 0; m < M; ++m) order[next[ids[m]]++] = m;
    Space<int> places(order.data(), M), begins(starts.data(), rows + 1);
    RUN(embedding_backward, dtable, dout, places, begins, rows, D);
}

void rmsnorm_forward(float* out, float* rinv, const float* inp, const float* weight, int M, int D) {
    RUN(rmsnorm_forward, out, rinv, inp, weight, M, D);
}

void rmsnorm_backward(float* dinp, float* dweight, const float* dout, const float* inp, const float* rinv,
                      const float* weight, int M, int D) {
    Space<float> space(area(128, D));
    RUN(rmsnorm_backward, dinp, dweight, space, dout, inp, rinv, weight, M, D);
}

void conv_forward(float* out, const float* inp, const float* history, const float* weight, int B, int length,
                  int D) {
    RUN(conv_forward, out, inp, history, weight, B, length, D);
}

void conv_backward(float* dinp, float* dweight, const float* dout, const float* inp, const float* history,
                   const float* weight, int B, int length, int D) {
    Space<float> space(area(B * ceil_div(length, 16), 3 * D));
    RUN(conv_backward, dinp, dweight, space, dout, inp, history, weight, B, length, D);
}

void scan_forward(float* y, float* a, float* s, const float* fvo, const float* bias, const float* s0, int B,
                  int length, int R) {
    RUN(scan_forward, y, a, s, fvo, bias, s0, B, length, R);
}

void scan_backward(float* dfvo, float* dbias, const float* dy, const float* fvo, const float* a,
                   const float* s, const float* s0, int B, int length, int R) {
    Space<float> space(area(B, R));
    RUN(scan_backward, dfvo, dbias, space, dy, fvo, a, s, s0, B, length, R);
}

void attention_forward(float* y, float* p, const float* qkv, const float* past, const float* bias, float*,
                       int B, int length, int heads, int d, int W) {
    RUN(attention_forward, y, p, qkv, past, bias, B, length, heads, d, W);
}

void attention_backward(float* dqkv, float* dbias, const float* dy, const float* p, const float* qkv,
                        const float* past, float*, int B, int length, int heads, int d, int W) {
    Space<float> ds(area(B * length, heads * W)), space(area(B * ceil_div(length, 16), heads * W));
    RUN(attention_backward, dqkv, dbias, ds, space, dy, p, qkv, past, B, length, heads, d, W);
}

void swiglu_forward(float* out, const float* inp, int M, int F) {
    RUN(swiglu_forward, out, inp, M, F);
}

void swiglu_backward(float* dinp, const float* dout, const float* inp, int M, int F) {
    RUN(swiglu_backward, dinp, dout, inp, M, F);
}

void cross_entropy_forward(float* losses, const float* logits, const unsigned char* targets, int M, int V) {
    Space<unsigned char> bytes(targets, M);
    RUN(cross_entropy_forward, losses, logits, bytes, M, V);
}

void cross_entropy_backward(float* dlogits, const float* logits, const unsigned char* targets, float scale,
                            int M, int V) {
    Space<unsigned char> bytes(targets, M);
    RUN(cross_entropy_backward, dlogits, logits, bytes, scale, M, V);
}

void adamw_update(float* weight, float* m, float* v, const float* grad, size_t n, float rate, float beta1,
                  float beta2, float epsilon, float decay, float clip, float correction1, float correction2) {
    RUN(adamw_update, weight, m, v, grad, static_cast<int>(n), rate, beta1, beta2, epsilon, decay, clip,
        correction1, correction2);
}

void muon_update(const Ops<float>&, const MuonMatrix<float>* matrices, int count, float* space, float rate,
                 float momentum, float clip) {
    std::vector<::MuonMatrix> all;
    for (const MuonMatrix<float>* x = matrices; x < matrices + count; ++x)
        all.push_back({x->weight, x->m, x->grad, x->rows, x->columns, x->decay});
    RUN(muon_update, all.data(), count, space, rate, momentum, clip);
}

void matmul_forward(float* out, const float* inp, const float* weight, int M, int N, int K, bool accumulate) {
    RUN(matmul_f32_forward, out, inp, weight, M, N, K, accumulate);
}

void matmul_backward_input(float* dinp, const float* dout, const float* weight, int M, int N, int K,
                           bool accumulate) {
    RUN(matmul_f32_backward_input, dinp, dout, weight, M, N, K, accumulate);
}

void matmul_backward_weight(float* dweight, const float* dout, const float* inp, int M, int N, int K) {
    RUN(matmul_f32_backward_weight, dweight, dout, inp, M, N, K);
}

struct Bf16 : Space<__nv_bfloat16> {
    Bf16(const float* x, int rows, int columns) : Space<__nv_bfloat16>(area(rows, columns)) {
        RUN(to_bf16, *this, x, rows * columns);
    }
};

void matmul_forward_bf16(float* out, const float* inp, const float* weight, int M, int N, int K,
                         bool accumulate) {
    Bf16 a(inp, M, K), b(weight, N, K);
    RUN(matmul_bf16_forward, out, a, b, M, N, K, accumulate);
}

void matmul_backward_input_bf16(float* dinp, const float* dout, const float* weight, int M, int N, int K,
                                bool accumulate) {
    Bf16 a(dout, M, N), b(weight, N, K);
    RUN(matmul_bf16_backward_input, dinp, a, b, M, N, K, accumulate);
}

void matmul_backward_weight_bf16(float* dweight, const float* dout, const float* inp, int M, int N, int K) {
    Bf16 a(dout, M, N), b(inp, M, K);
    RUN(matmul_bf16_backward_weight, dweight, a, b, M, N, K);
}

// What only other architectures and the host's Muon need is not here: Network refuses these on a device.
Ops<float> table(const char* name) {
    Ops<float> t{};
    t.name = name, t.memory = &memory;
    t.add = add, t.sum_of_squares = sum_of_squares;
    t.embedding_forward = embedding_forward, t.embedding_backward = embedding_backward;
    t.rmsnorm_forward = rmsnorm_forward, t.rmsnorm_backward = rmsnorm_backward;
    t.conv_forward = conv_forward, t.conv_backward = conv_backward;
    t.scan_forward = scan_forward, t.scan_backward = scan_backward;
    t.attention_forward = attention_forward, t.attention_backward = attention_backward;
    t.swiglu_forward = swiglu_forward, t.swiglu_backward = swiglu_backward;
    t.cross_entropy_forward = cross_entropy_forward, t.cross_entropy_backward = cross_entropy_backward;
    t.adamw_update = adamw_update, t.muon_update = muon_update;
    t.matmul_forward = matmul_forward, t.matmul_backward_input = matmul_backward_input;
    t.matmul_backward_weight = matmul_backward_weight;
    return t;
}

Ops<float> table_bf16() {
    Ops<float> t = table("cuda");
    t.matmul_forward = matmul_forward_bf16, t.matmul_backward_input = matmul_backward_input_bf16;
    t.matmul_backward_weight = matmul_backward_weight_bf16;
    return t;
}

}  // namespace

const Ops<float> ops_cuda = table_bf16();
const Ops<float> ops_cuda_f32 = table("cuda-float32");

}  // namespace plm::train
