#include "vector_ops.h"
#include "vector_ops.inc"
#include "wygpt_ops.h"
#include "wygpt_ops.inc"

namespace plm::infer {
PLM_VECTOR_OPS(portable);
PLM_WYGPT_OPS(portable);
}  // namespace plm::infer
