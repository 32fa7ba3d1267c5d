#include "vector_ops.h"
#include "wygpt_ops.h"

#if defined(__x86_64__)
#include "vector_ops.inc"
#include "wygpt_ops.inc"

namespace plm::infer {
PLM_VECTOR_OPS(avx512);
PLM_WYGPT_OPS(avx512);
}  // namespace plm::infer
#endif
