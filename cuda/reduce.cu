// Reductions over whole arrays: column sums of partial results, and the norm of the gradient.
#include "device_math.h"
#include "reduce.h"

namespace {

constexpr int kRows = 8;  // of threads: each takes every eighth group

__global__ void column_sum_kernel(float* dst, const float* partial, int groups, int columns) {
    SHARED(float, sums, [kRows][kWarp]);
    int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
    int column = static_cast<int>(blockIdx.x) * kWarp + x;
    float sum = 0;
    if (column < columns) {
        for (int g = y; g < groups; g += kRows) sum += partial[static_cast<size_t>(g) * columns + column];
    }
    sums[y][x] = sum;
    __syncthreads();
    if (y == 0 && column < columns) {
        for (int i = 1; i < kRows; ++i) sum += sums[i][x];
        dst[column] += sum;
    }
}

constexpr int kSquareBlocks = 128, kSquareThreads = 256;

// In double, as the CPU sums the norm: three million squares in float would lose digits.
__device__ double block_sum(double x, double* parts) {
    for (int step = kWarp / 2; step > 0; step /= 2) x += __shfl_xor_sync(0xFFFFFFFFu, x, step);
    int thread = static_cast<int>(threadIdx.x);
    if (thread % kWarp == 0) parts[thread / kWarp] = x;
    __syncthreads();
    double sum = 0;
    for (int i = 0; i < kSquareThreads / kWarp; ++i) sum += parts[i];
    return sum;
}

__global__ void squares_kernel(double* partial, const float* x, size_t n) {
    SHARED(double, parts, [kSquareThreads / kWarp]);
    size_t stride = static_cast<size_t>(gridDim.x) * kSquareThreads;
    double sum = 0;
    for (size_t i = static_cast<size_t>(blockIdx.x) * kSquareThreads + threadIdx.x; i < n; i += stride) {
        sum += static_cast<double>(x[i]) * x[i];
    }
    sum = block_sum(sum, parts);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void finish_squares_kernel(double* out, const double* partial) {
    SHARED(double, parts, [kSquareThreads / kWarp]);
    double sum = block_sum(threadIdx.x < kSquareBlocks ? partial[threadIdx.x] : 0.0, parts);
    if (threadIdx.x == 0) *out = sum;
}

}  // namespace

cudaError_t add_column_sums(float* dst, const float* partial, int groups, int columns, cudaStream_t stream) {
    return launch(column_sum_kernel, ceil_div(columns, kWarp), dim3(kWarp, kRows), 0, stream, dst, partial,
                  groups, columns);
}

// out (1) = the sum of x[i]^2; space (128)
PLM_API sum_of_squares(double* out, double* space, const float* x, int n, cudaStream_t stream) {
    cudaError_t error =
        launch(squares_kernel, kSquareBlocks, kSquareThreads, 0, stream, space, x, static_cast<size_t>(n));
    if (error != cudaSuccess) return error;
    return launch(finish_squares_kernel, 1, kSquareThreads, 0, stream, out, space);
}
