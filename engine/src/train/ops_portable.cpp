// The plain table, for processors without AVX2.
#include "ops.h"

namespace plm::train {
namespace portable {
#include "ops/ops.inl"

extern const Ops<float> float_table = {"portable",
                                       &host_memory,
                                       PLM_ELEMENTWISE_OPS(float),
                                       matmul_forward<float>,
                                       matmul_backward_input<float>,
                                       matmul_backward_weight<float>,
                                       matmul_gram<float>,
                                       matmul_burst<float>};
}  // namespace portable

const Ops<float> ops_portable = portable::float_table;
}  // namespace plm::train
