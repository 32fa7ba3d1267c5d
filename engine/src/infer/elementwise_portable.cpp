#include "elementwise.h"
#include "elementwise.inc"
#include "wygpt_ops.h"
#include "wygpt_ops.inc"

namespace plm {
PLM_ELEMENTWISE(portable);
PLM_WYGPT_OPS(portable);
}  // namespace plm
