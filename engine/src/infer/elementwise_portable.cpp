#include "elementwise.h"
#include "elementwise.inc"

namespace plm {
PLM_ELEMENTWISE(portable);
}
