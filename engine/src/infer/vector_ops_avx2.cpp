#include "vector_ops.h"
#include "wygpt_ops.h"

#if defined(__x86_64__)
#include "vector_ops.inc"
#include "wygpt_ops.inc"

namespace plm::infer {
PLM_VECTOR_OPS(avx2);
PLM_WYGPT_OPS(avx2);
}  // namespace plm::infer
#endif
