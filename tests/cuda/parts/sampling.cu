// A byte for each row of logits, by sampling.h: tests/cuda/test_sampling.py.
#include "sampling.h"

namespace {

constexpr int kTexts = 4;  // of a block

__global__ void sample_kernel(int* bytes, Sampling* samplings, const float* logits, const Repeat* repeats,
                              const double* penalties, int M, int R) {
    SHARED(double, spaces, [kTexts][kBytes]);
    const int m = static_cast<int>(blockIdx.x * kTexts + threadIdx.y);
    if (m >= M) return;
    Sampling& sampling = samplings[m];
    const size_t row = static_cast<size_t>(m) * kBytes;
    unsigned long long generator = sampling.generator;
    const int byte = draw_byte(spaces[threadIdx.y], &generator, sampling, logits + row,
                               repeats + static_cast<size_t>(m) * R, penalties ? penalties + row : nullptr);
    __syncwarp();  // all lanes have read the generator
    if (threadIdx.x != 0) return;
    bytes[m] = byte, sampling.generator = generator;
}

}  // namespace

// bytes (M) out, -1 for logits that are not finite; samplings (M), whose generators move on; logits (M, 256);
// repeats (M, R); penalties (M, 256) or nullptr: what wyGPT's sampler takes from the logits.
PLM_API sample(int* bytes, Sampling* samplings, const float* logits, const Repeat* repeats,
               const double* penalties, int M, int R, cudaStream_t stream) {
    return launch(sample_kernel, ceil_div(M, kTexts), dim3(kWarp, kTexts), 0, stream, bytes, samplings,
                  logits, repeats, penalties, M, R);
}
