// Muon: Nesterov's momentum of a matrix, made orthogonal by five steps of Newton-Schulz, with AdamW's decay.
// Definition: engine/src/train/ops/muon.h. In float32; a matrix of these models is a few tiles, so all
// matrices go through each step in one launch: 16 for every 48 of them.
#include <algorithm>

#include "device_math.h"
#include "matmul_f32.h"
#include "muon.h"

namespace {

constexpr int kThreads = 1024, kMost = 48, kSteps = 5;  // parts: the arguments of a launch may have 4 KB

struct Settings {
    float rate, momentum, clip;
};

// One matrix's part of the work: x = U S V^T becomes U V^T, going to and fro between x and other.
struct Part {
    MuonMatrix given;
    float *x, *other, *gram, *factor;
    __host__ __device__ bool wide() const { return given.rows <= given.columns; }
    __host__ __device__ int side() const { return wide() ? given.rows : given.columns; }
    __host__ __device__ int count() const { return given.rows * given.columns; }
};

struct Parts {
    Part of[kMost];
};

// x = momentum m + g over its norm, and m moved on; a block for a matrix
__global__ void __launch_bounds__(kThreads) momentum_kernel(Parts parts, Settings s) {
    SHARED(float, sums, [kThreads / kWarp]);
    const Part p = parts.of[blockIdx.x];
    int thread = static_cast<int>(threadIdx.x), n = p.count();
    float sum = 0;
    for (int i = thread; i < n; i += kThreads) {
        float g = (1.0f - s.momentum) * s.clip * p.given.grad[i], now = s.momentum * p.given.m[i] + g;
        p.given.m[i] = now;
        float x = s.momentum * now + g;
        p.x[i] = x;
        sum += x * x;
    }
    sum = warp_sum(sum);
    if (thread % kWarp == 0) sums[thread / kWarp] = sum;
    __syncthreads();
    sum = 0;
    for (int i = 0; i < kThreads / kWarp; ++i) sum += sums[i];
    float scale = 1.0f / (sqrtf(sum) + 1e-12f);
    for (int i = thread; i < n; i += kThreads) p.x[i] *= scale;
}

// gram = x x^T, or x^T x where x is tall
__global__ void __launch_bounds__(kSide* kSide) gram_kernel(Parts parts, bool swapped) {
    SHARED(float, tile_a, [kTileDepth][kTile + 1]);
    SHARED(float, tile_b, [kTileDepth][kTile + 1]);
    const Part p = parts.of[blockIdx.z];
    int i0 = static_cast<int>(blockIdx.x) * kTile, j0 = static_cast<int>(blockIdx.y) * kTile, side = p.side();
    if (i0 >= side || j0 >= side) return;
    const float* x = swapped ? p.other : p.x;
    const auto store = [&](int i, int j, float sum) { p.gram[i * side + j] = sum; };
    if (p.wide())
        product_tile<false, false>(tile_a, tile_b, x, x, {side, side, p.given.columns}, i0, j0, store);
    else
        product_tile<true, true>(tile_a, tile_b, x, x, {side, side, p.given.rows}, i0, j0, store);
}

// factor = a I + b gram + c gram gram
__global__ void __launch_bounds__(kSide* kSide) polynomial_kernel(Parts parts) {
    SHARED(float, tile_a, [kTileDepth][kTile + 1]);
    SHARED(float, tile_b, [kTileDepth][kTile + 1]);
    const Part p = parts.of[blockIdx.z];
    int i0 = static_cast<int>(blockIdx.x) * kTile, j0 = static_cast<int>(blockIdx.y) * kTile, side = p.side();
    if (i0 >= side || j0 >= side) return;
    product_tile<false, false>(
        tile_a, tile_b, p.gram, p.gram, {side, side, side}, i0, j0, [&](int i, int j, float sum) {
            int at = i * side + j;
            p.factor[at] = -4.7750f * p.gram[at] + 2.0315f * sum + (i == j ? 3.4445f : 0.0f);
        });
}

// x = factor x, or x factor where x is tall; in the last step weight -= rate (scale x + decay weight) instead
__global__ void __launch_bounds__(kSide* kSide)
    multiply_kernel(Parts parts, bool swapped, bool last, Settings s) {
    SHARED(float, tile_a, [kTileDepth][kTile + 1]);
    SHARED(float, tile_b, [kTileDepth][kTile + 1]);
    const Part p = parts.of[blockIdx.z];
    int i0 = static_cast<int>(blockIdx.x) * kTile, j0 = static_cast<int>(blockIdx.y) * kTile;
    int rows = p.given.rows, columns = p.given.columns;
    if (i0 >= rows || j0 >= columns) return;
    const float* from = swapped ? p.other : p.x;
    float* to = swapped ? p.x : p.other;
    float scale = 0.2f * sqrtf(static_cast<float>(max(rows, columns)));
    const auto store = [&](int i, int j, float sum) {
        size_t at = static_cast<size_t>(i) * columns + j;
        if (last)
            p.given.weight[at] -= s.rate * (scale * sum + p.given.decay * p.given.weight[at]);
        else
            to[at] = sum;
    };
    if (p.wide())
        product_tile<false, true>(tile_a, tile_b, p.factor, from, {rows, columns, rows}, i0, j0, store);
    else
        product_tile<false, false>(tile_a, tile_b, from, p.factor, {rows, columns, columns}, i0, j0, store);
}

dim3 tiles(int rows, int columns, int count) {
    return dim3(static_cast<unsigned>(ceil_div(rows, kTile)), static_cast<unsigned>(ceil_div(columns, kTile)),
                static_cast<unsigned>(count));
}

// All of `count` parts; the grids are those of the largest.
cudaError_t update(const Parts& parts, int count, const Settings& s, cudaStream_t stream) {
    int rows = 0, columns = 0, side = 0;
    for (int i = 0; i < count; ++i) {
        const Part& p = parts.of[i];
        rows = std::max(rows, p.given.rows), columns = std::max(columns, p.given.columns);
        side = std::max(side, p.side());
    }
    const dim3 block(kSide, kSide);
    cudaError_t error = launch(momentum_kernel, count, kThreads, 0, stream, parts, s);
    for (int step = 0; step < kSteps && error == cudaSuccess; ++step) {
        const bool swapped = step % 2 != 0, last = step + 1 == kSteps;
        error = launch(gram_kernel, tiles(side, side, count), block, 0, stream, parts, swapped);
        if (error != cudaSuccess) break;
        error = launch(polynomial_kernel, tiles(side, side, count), block, 0, stream, parts);
        if (error != cudaSuccess) break;
        error =
            launch(multiply_kernel, tiles(rows, columns, count), block, 0, stream, parts, swapped, last, s);
    }
    return error;
}

}  // namespace

// Updates `count` matrices, whose descriptions lie on the host. space: 2 (rows columns + min(rows,
// columns)^2) floats for each, one after the other.
PLM_API muon_update(const MuonMatrix* matrices, int count, float* space, float rate, float momentum,
                    float clip, cudaStream_t stream) {
    for (int first = 0; first < count; first += kMost) {
        const int some = std::min(kMost, count - first);
        Parts parts{};
        for (int i = 0; i < some; ++i) {
            Part& p = parts.of[i];
            p.given = matrices[first + i];
            p.x = space, p.other = p.x + p.count(), p.gram = p.other + p.count();
            p.factor = p.gram + p.side() * p.side(), space = p.factor + p.side() * p.side();
        }
        cudaError_t error = update(parts, some, {rate, momentum, clip}, stream);
        if (error != cudaSuccess) return error;
    }
    return cudaSuccess;
}
