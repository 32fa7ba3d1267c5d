#include "vector_ops.h"
#include "wygpt_ops.h"

#if defined(__aarch64__)
#include "vector_ops.inc"
#include "wygpt_ops.inc"

namespace plm::infer {
PLM_VECTOR_OPS(neon);
PLM_WYGPT_OPS(neon);
}  // namespace plm::infer
#endif
