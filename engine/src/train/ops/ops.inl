// Every operator's definition and the macro that lists them, for one table. The including file opens the
// namespace.
#include "math.h"
//
#include "adamw.h"
#include "arrays.h"
#include "attention.h"
#include "bilinear.h"
#include "conv.h"
#include "cross_entropy.h"
#include "embedding.h"
#include "groupnorm.h"
#include "matmul.h"
#include "muon.h"
#include "rmsnorm.h"
#include "scan.h"
#include "swiglu.h"

// Muon's update, where the including file has none of its own
#ifndef PLM_MUON
#define PLM_MUON(T) muon_update<T>
#endif
#define PLM_ELEMENTWISE_OPS(T)                                                                     \
    add<T>, sum_of_squares<T>, embedding_forward<T>, embedding_backward<T>, rmsnorm_forward<T>,    \
        rmsnorm_backward<T>, conv_forward<T>, conv_backward<T>, scan_forward<T>, scan_backward<T>, \
        attention_forward<T>, attention_backward<T>, swiglu_forward<T>, swiglu_backward<T>,        \
        bilinear_forward<T>, bilinear_backward<T>, groupnorm_forward<T>, groupnorm_backward<T>,    \
        cross_entropy_forward<T>, cross_entropy_backward<T>, adamw_update<T>, PLM_MUON(T)

// The table of the instruction set `isa`, whose operators stand in the namespace of that name: matrix
// products are the functions that end in `products`.
#define PLM_OPS_TABLE(isa, products)                                    \
    namespace isa {                                                     \
    extern const Ops<float> table = {#isa,                              \
                                     &host_memory,                      \
                                     PLM_ELEMENTWISE_OPS(float),        \
                                     matmul_forward_##products,         \
                                     matmul_backward_input_##products,  \
                                     matmul_backward_weight_##products, \
                                     matmul_gram_##products,            \
                                     matmul_burst_tiled};               \
    }                                                                   \
    const Ops<float> ops_##isa = isa::table
