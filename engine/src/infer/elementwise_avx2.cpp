#include "elementwise.h"
#include "wygpt_ops.h"

#if defined(__x86_64__)
#include "elementwise.inc"
#include "wygpt_ops.inc"

namespace plm {
PLM_ELEMENTWISE(avx2);
PLM_WYGPT_OPS(avx2);
}  // namespace plm
#endif
