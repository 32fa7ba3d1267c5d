// bfloat16 for the host's compiler: the upper half of a float, rounded to nearest, ties to even.
#pragma once
#include <cstdint>

#include "cuda_runtime.h"

struct __nv_bfloat16 {
    uint16_t bits;
};

inline __nv_bfloat16 __float2bfloat16(float x) {
    uint32_t bits = plm_bits<uint32_t>(x);
    return {uint16_t((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16)};
}
inline float __bfloat162float(__nv_bfloat16 x) {
    return plm_bits<float>(uint32_t(x.bits) << 16);
}
