// The operators compiled for AVX2, with float32 matrix products on vectors of 8.
#if defined(__x86_64__)
#include <cstdlib>

#include "large_pages.h"
#include "ops.h"

#define PLM_LANES 8
#define PLM_VECTOR_BYTES 32
#define PLM_TILE_ROWS 6
#define PLM_TILE_DEPTH 256
#define PLM_MUON(T) muon_update_gram

namespace plm::train {
namespace avx2 {
#include "ops/ops.inl"
//
#include "ops/matmul_f32.inl"
#include "ops/muon_gram.inl"
}  // namespace avx2

PLM_OPS_TABLE(avx2, tiled);
}  // namespace plm::train
#endif
