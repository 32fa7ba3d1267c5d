// The operators compiled for Arm's NEON, with float32 matrix products on vectors of 4: a tile of 12 rows by
// two vectors keeps 24 sums in the 32 registers.
#if defined(__aarch64__)
#include <cstdlib>

#include "large_pages.h"
#include "ops.h"

#define PLM_LANES 4
#define PLM_TILE_ROWS 12
#define PLM_VECTOR_BYTES 32  // of attention: 32 registers of 16 bytes

namespace plm::train {
namespace neon {
#include "ops/ops.inl"
//
#include "ops/matmul_f32.inl"
}  // namespace neon

PLM_OPS_TABLE(neon, tiled);
}  // namespace plm::train
#endif
