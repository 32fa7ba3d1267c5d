// engine._ops: what tests and benchmarks call one by one and no user does. Compiled where PLM_OPS=1 asks for
// it, as `make test` does: it takes as long as either of the other modules' bindings.
#include "bindings.h"

PYBIND11_MODULE(_ops, m) {
    m.doc() = "Operators and kernels one by one, for tests and benchmarks.";
    bind_i8(m);
    bind_inference(m);
    bind_training(m);
}
