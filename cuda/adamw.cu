// AdamW: decoupled weight decay; `clip` scales the gradient. Definition: engine/src/train/ops/adamw.h.
#include "launch.h"

namespace {

constexpr int kThreads = 256;

struct Steps {
    float rate, beta1, beta2, epsilon, decay, clip, correction1, correction2;
};

__global__ void adamw_update_kernel(float* weight, float* m, float* v, const float* grad, int n, Steps s) {
    int i = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
    if (i >= n) return;
    float g = grad[i] * s.clip;
    float first = s.beta1 * m[i] + (1.0f - s.beta1) * g;
    float second = s.beta2 * v[i] + (1.0f - s.beta2) * g * g;
    m[i] = first, v[i] = second;
    float step = (first / s.correction1) / (sqrtf(second / s.correction2) + s.epsilon);
    weight[i] -= s.rate * (step + s.decay * weight[i]);
}

}  // namespace

PLM_API adamw_update(float* weight, float* m, float* v, const float* grad, int n, float rate, float beta1,
                     float beta2, float epsilon, float decay, float clip, float correction1,
                     float correction2, cudaStream_t stream) {
    Steps s{rate, beta1, beta2, epsilon, decay, clip, correction1, correction2};
    return launch(adamw_update_kernel, ceil_div(n, kThreads), kThreads, 0, stream, weight, m, v, grad, n, s);
}
