// The plain tables: float for processors without AVX2, double as the reference.
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
extern const Ops<double> double_table = {"float64",
                                         &host_memory,
                                         PLM_ELEMENTWISE_OPS(double),
                                         matmul_forward<double>,
                                         matmul_backward_input<double>,
                                         matmul_backward_weight<double>,
                                         matmul_gram<double>,
                                         matmul_burst<double>};
}  // namespace portable

const Ops<float> ops_portable = portable::float_table;
const Ops<double> ops_float64 = portable::double_table;
}  // namespace plm::train
