// The operators of training on a device: the kernels of cuda/ behind the table of train/ops.h.
#pragma once
#include "../train/ops.h"

namespace plm::train {

extern const Ops<float> ops_cuda;      // matrix products in bf16 with float32 sums
extern const Ops<float> ops_cuda_f32;  // and in float32, to compare

}  // namespace plm::train
