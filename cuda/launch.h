// What all kernels share: shared arrays, launching, exported names. Kernels are plain CUDA C++ and know
// neither Python nor a framework. They compile with nvcc for a device and with g++ for the executor in
// tests/cuda, whose own <cuda_runtime.h> defines the same names; so no bare __shared__, no <<<>>>, and PTX in
// tensor_core.h alone.
#pragma once
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

// Operators by their names, without C++ around them, for whatever loads the module.
#define PLM_API extern "C" __attribute__((visibility("default"))) cudaError_t

#if defined(__CUDACC__)

#define SHARED(T, name, dims) __shared__ __align__(16) T name dims
// All that a launch asked for; one such array a kernel.
#define DYN_SHARED(T, name)                                       \
    extern __shared__ __align__(16) unsigned char plm_dynamic_[]; \
    T* name = reinterpret_cast<T*>(plm_dynamic_)

template <class... P, class... A>
cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, cudaStream_t stream,
                   A... arguments) {
    if (shared > (48u << 10)) {  // more must be asked for by name
        cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                 static_cast<int>(shared));
        if (error != cudaSuccess) return error;
    }
    kernel<<<grid, block, shared, stream>>>(static_cast<P>(arguments)...);
    return cudaGetLastError();
}

#endif

#include "operators.h"

constexpr int kWarp = 32;

__host__ __device__ constexpr int ceil_div(int a, int b) {
    return (a + b - 1) / b;
}
