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

extern const Ops<float> table = {"avx512",
                                 &host_memory,
                                 PLM_ELEMENTWISE_OPS(float),
                                 matmul_forward_tiled,
                                 matmul_backward_input_tiled,
                                 matmul_backward_weight_tiled,
                                 matmul_gram_tiled,
                                 matmul_burst_tiled};
}  // namespace avx512

const Ops<float> ops_avx512 = avx512::table;
}  // namespace plm::train
#endif
