// Sums over many rows come in two launches: each block leaves partial sums in `space`, then these are added
// in a fixed order. No atomics, so that a run can be repeated bit for bit.
#pragma once
#include "launch.h"

// dst[c] += sum over g of partial[g, c]; partial (groups, columns)
cudaError_t add_column_sums(float* dst, const float* partial, int groups, int columns, cudaStream_t stream);
