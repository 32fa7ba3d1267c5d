// One product serves the three of a linear layer; a template says how each operand lies in memory.
//   forward          out[M,N]     (+)= inp[M,K] @ weight[N,K]^T
//   backward_input   dinp[M,K]    (+)= dout[M,N] @ weight[N,K]
//   backward_weight  dweight[N,K]  +=  dout[M,N]^T @ inp[M,K]
#pragma once
#include "launch.h"

// C[I,J] (+)= sum over r of A(i, r) B(j, r). "Across": the summed index runs across the rows of memory (A is
// [R,I], B is [R,J]); else along them (A is [I,R], B is [J,R]).
struct Sizes {
    int I, J, R;
};
