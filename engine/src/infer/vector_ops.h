// The float work between the matrix products of inference, fused row by row.
//
// The functions are written once, in vector_ops.inc, and compiled for several instruction sets without FMA
// contraction and with sums in a fixed order of sixteen lanes. Every table therefore gives the same bits, and
// a conversation may move between machines. All sizes are multiples of 16.
#pragma once

#include <cstddef>
#include <cstdint>

namespace plm::infer {

// int32 sums of one row of a matrix product, and what turns them into floats: sums[n] * (inp * weights[n]).
struct Sums {
    const int32_t* sums;
    const float* weights;  // scale of each weight row
    float inp;             // scale of the input row
};

// What an attention layer holds of the last `size` characters, in a ring: keys [width][size], values
// [size][width], each character's with a scale of its own. Zeros stand for what was before the first one.
struct Ring {
    int8_t *keys, *values;
    uint16_t *key_scales, *value_scales;  // bf16
    int size, position;                   // where the character being read goes
};

struct VectorOps {
    const char* name;

    // out[n] = lead[n] * lead_scale + rest[n] * rest_scale (+ base[n], where there is a base).
    void (*add_rows)(float* out, const float* base, const int8_t* lead, float lead_scale, const int8_t* rest,
                     float rest_scale, int n);

    // x[n] += row[n] * scale.
    void (*add_row)(float* x, const int8_t* row, float scale, int n);

    // quantized <- x; returns the scale.
    float (*quantize_row)(int8_t* quantized, const float* x, int n);

    // quantized <- rmsnorm(x; gain); returns the scale of the quantized row.
    float (*norm_quantize)(int8_t* quantized, float* scratch, const float* x, const float* gain, int n);

    // The same with the convolution over this and the two previous characters in between. history: [2][n],
    // oldest first, moved on by one, in bf16; taps: [3][n].
    float (*norm_conv_quantize)(int8_t* quantized, float* scratch, uint16_t* history, const float* x,
                                const float* gain, const float* taps, int n);

    // Gated recurrence: in = [f; v; o], 3n sums; moves state[n] on; quantized <- state * silu(o).
    float (*recurrence_quantize)(int8_t* quantized, float* scratch, float* state, const Sums* in,
                                 const float* bias, int n);

    // Attention with one key and value for all heads: in = [q of each head; k; v], sums. Puts k and v into
    // the ring; quantized <- what the heads see, [heads * width]. bias: [heads][ring size], oldest character
    // first. scratch: 2 (heads + 1) width + 4 ring sizes floats.
    float (*attention_quantize)(int8_t* quantized, float* scratch, const Ring* ring, const Sums* in,
                                const float* bias, int heads, int width);

    // up = [g; p], 2n sums; quantized <- silu(g) * p.
    float (*swiglu_quantize)(int8_t* quantized, float* scratch, const Sums* up, int n);

    // x += sums, as floats.
    void (*residual)(float* x, const Sums* sums, int n);

    // out = sums, as floats.
    void (*dequantize)(float* out, const Sums* sums, int n);

    // ln(sum of exp(logits)) as highest + ln(sum): returns the sum, at least 1, and stores the highest
    // logit. Not a number if a logit is not finite. n is at most 256.
    double (*sum_exp)(float* highest, const float* logits, int n);

    // For sampling (sampling.h), in double precision. Arrays have room for n rounded up to a multiple of 8.
    // out = logits; returns whether all are finite.
    bool (*widen_row)(double* out, const float* logits, int n);
    // out = e^x for x <= 0, good to about one unit in the last place; 0 where it would be subnormal.
    void (*exp_row)(double* out, const double* x, int n);
    // x -= max(x); weights = e^x; totals = the sums of weights and of weights * x. n is at least 1.
    void (*softmax)(double* x, double* weights, double totals[2], int n);
    // places <- every i with x[i] >= bound, rising; returns how many.
    int (*indices_above)(uint8_t* places, const double* x, double bound, int n);

    // out = exp(-x), relative error below 2e-6 for |x| <= 40 and clamped beyond. For tests.
    void (*exp_minus)(float* out, const float* x, int n);
};

extern const VectorOps vector_ops_portable;
#if defined(__x86_64__)
extern const VectorOps vector_ops_avx2, vector_ops_avx512;
#elif defined(__aarch64__)
extern const VectorOps vector_ops_neon;
#endif

}  // namespace plm::infer
