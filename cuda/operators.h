// All operators of this folder as the host calls them; the comment above each definition says what its
// arrays are. Scratch memory (`space`) is the caller's. Included by launch.h, so that a definition that
// differs does not compile.
#pragma once

struct __nv_bfloat16;
struct Cost;
struct HeadRow;
struct InferModel;
struct MuonMatrix;
struct Repeat;
struct SamplerState;

PLM_API embedding_forward(float* out, const float* table, const int* ids, int M, int D, bool accumulate,
                          cudaStream_t stream);
PLM_API embedding_backward(float* dtable, const float* dout, const int* order, const int* starts, int rows,
                           int D, cudaStream_t stream);
PLM_API rmsnorm_forward(float* out, float* rinv, const float* inp, const float* weight, int M, int D,
                        cudaStream_t stream);
PLM_API rmsnorm_backward(float* dinp, float* dweight, float* space, const float* dout, const float* inp,
                         const float* rinv, const float* weight, int M, int D, cudaStream_t stream);
PLM_API conv_forward(float* out, const float* inp, const float* history, const float* weight, int B,
                     int length, int D, cudaStream_t stream);
PLM_API conv_backward(float* dinp, float* dweight, float* space, const float* dout, const float* inp,
                      const float* history, const float* weight, int B, int length, int D,
                      cudaStream_t stream);
PLM_API scan_forward(float* y, float* a, float* s, const float* fvo, const float* bias, const float* s0,
                     int B, int length, int R, cudaStream_t stream);
PLM_API scan_backward(float* dfvo, float* dbias, float* space, const float* dy, const float* fvo,
                      const float* a, const float* s, const float* s0, int B, int length, int R,
                      cudaStream_t stream);
PLM_API attention_forward(float* y, float* w, const float* qkv, const float* past, const float* bias, int B,
                          int length, int heads, int d, int W, cudaStream_t stream);
PLM_API attention_backward(float* dqkv, float* dbias, float* ds, float* space, const float* dy,
                           const float* w, const float* qkv, const float* past, int B, int length, int heads,
                           int d, int W, cudaStream_t stream);
PLM_API swiglu_forward(float* out, const float* inp, int M, int F, cudaStream_t stream);
PLM_API swiglu_backward(float* dinp, const float* dout, const float* inp, int M, int F, cudaStream_t stream);
PLM_API cross_entropy_forward(float* losses, const float* logits, const unsigned char* targets, int M, int V,
                              cudaStream_t stream);
PLM_API cross_entropy_backward(float* dlogits, const float* logits, const unsigned char* targets, float scale,
                               int M, int V, cudaStream_t stream);
PLM_API add(float* out, const float* inp, size_t n, cudaStream_t stream);
PLM_API sum_of_squares(double* out, double* space, const float* x, int n, cudaStream_t stream);
PLM_API adamw_update(float* weight, float* m, float* v, const float* grad, int n, float rate, float beta1,
                     float beta2, float epsilon, float decay, float clip, float correction1,
                     float correction2, cudaStream_t stream);
PLM_API muon_update(const MuonMatrix* matrices, int count, float* space, float rate, float momentum,
                    float clip, cudaStream_t stream);
PLM_API matmul_f32_forward(float* out, const float* inp, const float* weight, int M, int N, int K,
                           bool accumulate, cudaStream_t stream);
PLM_API matmul_f32_backward_input(float* dinp, const float* dout, const float* weight, int M, int N, int K,
                                  bool accumulate, cudaStream_t stream);
PLM_API matmul_f32_backward_weight(float* dweight, const float* dout, const float* inp, int M, int N, int K,
                                   cudaStream_t stream);
PLM_API to_bf16(__nv_bfloat16* out, const float* inp, int n, cudaStream_t stream);
PLM_API matmul_bf16_forward(float* out, const __nv_bfloat16* inp, const __nv_bfloat16* weight, int M, int N,
                            int K, bool accumulate, cudaStream_t stream);
PLM_API matmul_bf16_backward_input(float* dinp, const __nv_bfloat16* dout, const __nv_bfloat16* weight, int M,
                                   int N, int K, bool accumulate, cudaStream_t stream);
PLM_API matmul_bf16_backward_weight(float* dweight, const __nv_bfloat16* dout, const __nv_bfloat16* inp,
                                    int M, int N, int K, cudaStream_t stream);

// Inference
PLM_API trunk_step(char* states, float* bases, const InferModel* model, const int* ids, const int* slots,
                   const int* starts, int blocks, cudaStream_t stream);
PLM_API trunk_base(char* states, const InferModel* model, const int* slot, cudaStream_t stream);
PLM_API head_logits(float* logits, Cost* costs, const char* states, const float* bases,
                    const InferModel* model, const HeadRow* prefixes, const int* bytes, int M,
                    cudaStream_t stream);
PLM_API head_step(SamplerState* samplers, const char* states, const InferModel* model, const Repeat* repeats,
                  const double* penalties, int M, int R, cudaStream_t stream);
