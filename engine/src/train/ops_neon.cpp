// The operators compiled for Arm's NEON, with float32 matrix products on vectors of 4: a tile of 12 rows by
// two vectors keeps 24 sums in the 32 registers.
#if defined(__aarch64__)
#include <cstdlib>

#include "large_pages.h"
#include "ops.h"

#define PLM_LANES 4
#define PLM_TILE_ROWS 12

namespace plm::train {
namespace neon {
#include "ops/ops.inl"
//
#include "ops/matmul_f32.inl"

extern const Ops<float> table = {"neon",
                                 &host_memory,
                                 PLM_ELEMENTWISE_OPS(float),
                                 matmul_forward_tiled,
                                 matmul_backward_input_tiled,
                                 matmul_backward_weight_tiled,
                                 matmul_gram_tiled,
                                 matmul_burst_tiled};
}  // namespace neon

const Ops<float> ops_neon = neon::table;
}  // namespace plm::train
#endif
