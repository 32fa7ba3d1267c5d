// The float work of inference as the CPU does it, row by row, with C names: what cuda/infer_rows.h must equal
// to the last bit.
#include "engine/src/infer/vector_ops.h"

#define API extern "C" __attribute__((visibility("default")))

namespace {
const plm::infer::VectorOps& ops = plm::infer::vector_ops_portable;
}

API float ref_quantize_row(int8_t* q, const float* x, int n) {
    return ops.quantize_row(q, x, n);
}
API float ref_norm_quantize(int8_t* q, float* space, const float* x, const float* gain, int n) {
    return ops.norm_quantize(q, space, x, gain, n);
}
API float ref_norm_conv_quantize(int8_t* q, float* space, uint16_t* history, const float* x,
                                 const float* gain, const float* taps, int n) {
    return ops.norm_conv_quantize(q, space, history, x, gain, taps, n);
}
API float ref_recurrence_quantize(int8_t* q, float* space, float* state, const int32_t* sums,
                                  const float* weights, float inp, const float* bias, int n) {
    plm::infer::Sums s{sums, weights, inp};
    return ops.recurrence_quantize(q, space, state, &s, bias, n);
}
API float ref_swiglu_quantize(int8_t* q, float* space, const int32_t* sums, const float* weights, float inp,
                              int n) {
    plm::infer::Sums s{sums, weights, inp};
    return ops.swiglu_quantize(q, space, &s, n);
}
