// What threads of a warp do together, and atomics: called from kernels, defined outside of the instrumented
// code.
#pragma once
#include <cstddef>
#include <cstdint>

#include "block.h"

namespace sim {

// out of each lane = inp of its source lane; 4 or 8 bytes. source must be in the mask.
void shuffle(unsigned mask, Site site, const void* inp, void* out, size_t size, int source);
unsigned ballot(unsigned mask, Site site, bool predicate);
void sync_warp(unsigned mask, Site site);

// d += a b for one warp; the registers of one lane each, as tensor_core.h says.
void mma_bf16_16816(float d[4], const uint32_t a[4], const uint32_t b[2], Site site);
void mma_s8_16832(int32_t d[4], const uint32_t a[4], const uint32_t b[2], Site site);
void ldmatrix_x4(uint32_t out[4], const void* row, bool transposed, Site site);

float atomic_add(float* at, float value);
int atomic_add(int* at, int value);
int atomic_max(int* at, int value);

}  // namespace sim
