// The same operators in double: the reference, where finite differences need it.
#include "train/ops.h"

namespace plm::train {
namespace float64 {
#include "train/ops/ops.inl"

extern const Ops<double> table = {"float64",
                                  &host_memory,
                                  PLM_ELEMENTWISE_OPS(double),
                                  matmul_forward<double>,
                                  matmul_backward_input<double>,
                                  matmul_backward_weight<double>,
                                  matmul_gram<double>,
                                  matmul_burst<double>};
}  // namespace float64

const Ops<double> ops_float64 = float64::table;
}  // namespace plm::train
