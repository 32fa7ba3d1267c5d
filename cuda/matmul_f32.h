// A tile of 64 x 64 of a matrix product in float32, by 16 x 16 threads with 4 x 4 of it each.
#pragma once
#include "matmul.h"

constexpr int kTile = 64, kTileDepth = 16, kSide = 16, kSideEach = kTile / kSide;
using TileRows = float[kTileDepth][kTile + 1];

// tile[r][i] = X(first + i, depth + r), zeros outside. Neighbouring threads read neighbouring numbers.
template <bool kAcross>
__device__ __forceinline__ void load_tile(TileRows& tile, const float* x, int first, int count, int depth,
                                          int R) {
    int thread = static_cast<int>(threadIdx.y) * kSide + static_cast<int>(threadIdx.x);
    for (int at = thread; at < kTile * kTileDepth; at += kSide * kSide) {
        int i = kAcross ? at % kTile : at / kTileDepth, r = kAcross ? at / kTile : at % kTileDepth;
        bool inside = first + i < count && depth + r < R;
        size_t from = kAcross ? static_cast<size_t>(depth + r) * count + first + i
                              : static_cast<size_t>(first + i) * R + depth + r;
        tile[r][i] = inside ? x[from] : 0.0f;
    }
}

// store(i, j, sum) for each number of the tile at i0, j0.
template <bool kAcrossA, bool kAcrossB, class Store>
__device__ __forceinline__ void product_tile(TileRows& tile_a, TileRows& tile_b, const float* a,
                                             const float* b, Sizes n, int i0, int j0, Store&& store) {
    int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
    float sums[kSideEach][kSideEach] = {};
    for (int depth = 0; depth < n.R; depth += kTileDepth) {
        load_tile<kAcrossA>(tile_a, a, i0, n.I, depth, n.R);
        load_tile<kAcrossB>(tile_b, b, j0, n.J, depth, n.R);
        __syncthreads();
        for (int r = 0; r < kTileDepth; ++r) {
            float left[kSideEach], right[kSideEach];
            for (int e = 0; e < kSideEach; ++e)
                left[e] = tile_a[r][y + e * kSide], right[e] = tile_b[r][x + e * kSide];
            for (int p = 0; p < kSideEach; ++p)
                for (int q = 0; q < kSideEach; ++q) sums[p][q] = fmaf(left[p], right[q], sums[p][q]);
        }
        __syncthreads();
    }
    for (int p = 0; p < kSideEach; ++p) {
        for (int q = 0; q < kSideEach; ++q) {
            int i = i0 + y + p * kSide, j = j0 + x + q * kSide;
            if (i < n.I && j < n.J) store(i, j, sums[p][q]);
        }
    }
}
