// Muon: Nesterov's momentum of a matrix, made orthogonal by five steps of Newton-Schulz, with AdamW's decay.
// Definition: engine/src/train/ops/muon.h. Its products run in float32; a matrix of these models is a few
// tiles.
#include "device_math.h"
#include "matmul.h"

PLM_API matmul_f32_forward(float*, const float*, const float*, int, int, int, bool, cudaStream_t);
PLM_API matmul_f32_backward_input(float*, const float*, const float*, int, int, int, bool, cudaStream_t);
PLM_API matmul_f32_backward_weight(float*, const float*, const float*, int, int, int, cudaStream_t);

namespace {

constexpr int kThreads = 256, kNormThreads = 1024;

// x = momentum m + g, and m moved on
__global__ void momentum_kernel(float* x, float* m, const float* grad, int n, float momentum, float clip) {
    int i = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
    if (i >= n) return;
    float g = (1.0f - momentum) * clip * grad[i], now = momentum * m[i] + g;
    m[i] = now;
    x[i] = momentum * now + g;
}

// x /= |x|, by one block: the largest matrix here has a few hundred thousand numbers
__global__ void __launch_bounds__(kNormThreads) normalize_kernel(float* x, int n) {
    SHARED(float, parts, [kNormThreads / kWarp]);
    int thread = static_cast<int>(threadIdx.x);
    float sum = 0;
    for (int i = thread; i < n; i += kNormThreads) sum += x[i] * x[i];
    sum = warp_sum(sum);
    if (thread % kWarp == 0) parts[thread / kWarp] = sum;
    __syncthreads();
    sum = 0;
    for (int i = 0; i < kNormThreads / kWarp; ++i) sum += parts[i];
    float scale = 1.0f / (sqrtf(sum) + 1e-12f);
    for (int i = thread; i < n; i += kNormThreads) x[i] *= scale;
}

// factor = a I + b gram + c factor
__global__ void polynomial_kernel(float* factor, const float* gram, int side) {
    int i = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
    if (i >= side * side) return;
    factor[i] = -4.7750f * gram[i] + 2.0315f * factor[i] + (i % (side + 1) == 0 ? 3.4445f : 0.0f);
}

__global__ void step_kernel(float* weight, const float* x, int n, float rate, float scale, float decay) {
    int i = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
    if (i < n) weight[i] -= rate * (scale * x[i] + decay * weight[i]);
}

// The first error of several launches.
struct Launches {
    cudaError_t error = cudaSuccess;
    void operator()(cudaError_t next) {
        if (error == cudaSuccess) error = next;
    }
};

// from <- U V^T of from's U S V^T, perhaps in `to`; gram and factor have side^2 numbers. Returns where it is.
float* orthogonalize(Launches& run, float* from, float* to, float* gram, float* factor, int rows, int columns,
                     cudaStream_t stream) {
    bool wide = rows <= columns;
    int side = wide ? rows : columns, square = side * side;
    run(launch(normalize_kernel, 1, kNormThreads, 0, stream, from, rows * columns));
    for (int step = 0; step < 5; ++step) {
        if (wide) {
            run(matmul_f32_forward(gram, from, from, side, side, columns, false, stream));
        } else {
            run(cudaMemsetAsync(gram, 0, sizeof(float) * static_cast<size_t>(square), stream));
            run(matmul_f32_backward_weight(gram, from, from, rows, side, side, stream));
        }
        run(matmul_f32_forward(factor, gram, gram, side, side, side, false, stream));
        run(launch(polynomial_kernel, ceil_div(square, kThreads), kThreads, 0, stream, factor, gram, side));
        if (wide) {
            run(matmul_f32_backward_input(to, factor, from, side, side, columns, false, stream));
        } else {
            run(matmul_f32_forward(to, from, factor, rows, side, side, false, stream));
        }
        float* before = from;
        from = to, to = before;
    }
    return from;
}

}  // namespace

// weight, m, grad (rows, columns); space 2 (rows columns + min(rows, columns)^2)
PLM_API muon_update(float* weight, float* m, const float* grad, float* space, int rows, int columns,
                    float rate, float momentum, float decay, float clip, cudaStream_t stream) {
    int n = rows * columns, side = rows < columns ? rows : columns, largest = rows > columns ? rows : columns;
    float *x = space, *other = x + n, *gram = other + n, *factor = gram + side * side;
    Launches run;
    run(launch(momentum_kernel, ceil_div(n, kThreads), kThreads, 0, stream, x, m, grad, n, momentum, clip));
    x = orthogonalize(run, x, other, gram, factor, rows, columns, stream);
    float scale = 0.2f * sqrtf(static_cast<float>(largest));
    run(launch(step_kernel, ceil_div(n, kThreads), kThreads, 0, stream, weight, x, n, rate, scale, decay));
    return run.error;
}
