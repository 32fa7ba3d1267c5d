#include "peak.h"

// x86-64 always has a product of 16-bit pairs; elsewhere it is what the compiler makes of plain code.
using Vector = int __attribute__((vector_size(16), may_alias));

#if defined(__SSE2__)
#include <emmintrin.h>

#define PEAK_PAIRS 8
static inline void multiply_add(Vector& sum, Vector a, Vector b) {
    sum += (Vector)_mm_madd_epi16((__m128i)a, (__m128i)b);
}
#else
#define PEAK_PAIRS 4
static inline void multiply_add(Vector& sum, Vector a, Vector b) {
    sum += a * b;
}
#endif

#include "peak.inc"

const plm::infer::Peak plm::infer::peak_portable = {"portable", multiply_add_all, read_all};
