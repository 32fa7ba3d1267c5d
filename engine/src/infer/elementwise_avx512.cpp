#include "elementwise.h"

#if defined(__x86_64__)
#include "elementwise.inc"

namespace plm {
PLM_ELEMENTWISE(avx512);
}
#endif
