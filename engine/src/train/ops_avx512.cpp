// The operators compiled for AVX512, with float32 matrix products on vectors of 16.
#if defined(__x86_64__)
#include <cstdlib>

#include "large_pages.h"
#include "ops.h"

#define PLM_LANES 16
#define PLM_TILE_ROWS 12

namespace plm::train {
namespace avx512 {
#include "ops/ops.inl"
//
#include "ops/matmul_f32.inl"
}  // namespace avx512

PLM_OPS_TABLE(avx512, tiled);
}  // namespace plm::train
#endif
