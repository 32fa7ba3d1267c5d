// Rows of a table, picked by number: out[m] = table[ids[m]], or added to what is there. Definition:
// engine/src/train/ops/embedding.h.
#include "launch.h"

namespace {

constexpr int kThreads = 128;

__global__ void embedding_forward_kernel(float* out, const float* table, const int* ids, int D,
                                         bool accumulate) {
    int m = static_cast<int>(blockIdx.x);
    const float* row = table + static_cast<size_t>(ids[m]) * D;
    float* o = out + static_cast<size_t>(m) * D;
    for (int d = static_cast<int>(threadIdx.x); d < D; d += kThreads)
        o[d] = accumulate ? o[d] + row[d] : row[d];
}

// One block for a row of the table. A few lead bytes make up nearly all of a Chinese text, so atomics would
// queue up behind each other, and their order would change the sum from run to run.
__global__ void embedding_backward_kernel(float* dtable, const float* dout, const int* order,
                                          const int* starts, int D) {
    int row = static_cast<int>(blockIdx.x), begin = starts[row], end = starts[row + 1];
    if (begin == end) return;
    for (int d = static_cast<int>(threadIdx.x); d < D; d += kThreads) {
        float sum = 0;
#pragma unroll 4
        for (int i = begin; i < end; ++i) sum += dout[static_cast<size_t>(order[i]) * D + d];
        dtable[static_cast<size_t>(row) * D + d] += sum;
    }
}

}  // namespace

// out (M, D), table (rows, D), ids (M)
PLM_API embedding_forward(float* out, const float* table, const int* ids, int M, int D, bool accumulate,
                          cudaStream_t stream) {
    return launch(embedding_forward_kernel, M, kThreads, 0, stream, out, table, ids, D, accumulate);
}

// dtable[r] += the sum of dout[m] over m = order[starts[r]] ... order[starts[r + 1] - 1]: the places where
// ids is r, sorted on the host, which made the ids. order (M), starts (rows + 1)
PLM_API embedding_backward(float* dtable, const float* dout, const int* order, const int* starts, int rows,
                           int D, cudaStream_t stream) {
    return launch(embedding_backward_kernel, rows, kThreads, 0, stream, dtable, dout, order, starts, D);
}
