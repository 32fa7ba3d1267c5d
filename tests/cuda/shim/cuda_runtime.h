// The part of CUDA's runtime header that the kernels use, for the host's compiler.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>

#include "block.h"
#include "collectives.h"

#define __global__ __attribute__((noinline))
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

using dim3 = sim::Dim3;
using cudaStream_t = void*;
enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorLaunchFailure = 719
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum cudaDeviceAttr {
    cudaDevAttrClockRate = 13,
    cudaDevAttrMultiProcessorCount = 16,
    cudaDevAttrComputeCapabilityMajor = 75,
    cudaDevAttrComputeCapabilityMinor = 76,
    cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};
struct cudaDeviceProp {
    char name[256];
};
extern "C" {
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaStreamCreate(cudaStream_t* stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaMalloc(void** p, size_t size);
cudaError_t cudaFree(void* p);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaMemsetAsync(void* at, int value, size_t size, cudaStream_t stream);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, int kind, cudaStream_t stream);
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_stride, const void* from, size_t from_stride, size_t width,
                              size_t rows, cudaMemcpyKind kind, cudaStream_t stream);
}

namespace sim {

// Uninstrumented, by value: neither is memory of the device.
dim3 thread_index();
dim3 block_index();
dim3 block_dim();
dim3 grid_dim();
size_t dynamic_shared();
cudaError_t run(const Launch& launch);

}  // namespace sim

#define threadIdx (::sim::thread_index())
#define blockIdx (::sim::block_index())
#define blockDim (::sim::block_dim())
#define gridDim (::sim::grid_dim())

#define PLM_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(PLM_SITE) {
    sim::block.barrier({file, line});
}
inline void __syncwarp(unsigned mask = ~0u, PLM_SITE) {
    sim::sync_warp(mask, {file, line});
}
inline unsigned __ballot_sync(unsigned mask, int predicate, PLM_SITE) {
    return sim::ballot(mask, {file, line}, predicate != 0);
}
template <class T>
inline T __shfl_sync(unsigned mask, T value, int source, PLM_SITE) {
    T out{};
    sim::shuffle(mask, {file, line}, &value, &out, sizeof out, source);
    return out;
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int bits, PLM_SITE) {
    return __shfl_sync(mask, value, int(threadIdx.x % 32) ^ bits, file, line);
}

template <class T>
inline T atomicAdd(T* at, T value) {
    return sim::atomic_add(at, value);
}
inline int atomicMax(int* at, int value) {
    return sim::atomic_max(at, value);
}

struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(8) float2 {
    float x, y;
};
inline float4 make_float4(float x, float y, float z, float w) {
    return {x, y, z, w};
}
inline float2 make_float2(float x, float y) {
    return {x, y};
}
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
    return {x, y, z, w};
}

template <class To, class From>
inline To plm_bits(From from) {
    union {
        From f;
        To t;
    } both{from};
    return both.t;
}
using std::max;
using std::min;

inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}
inline int __float_as_int(float x) {
    return plm_bits<int>(x);
}
inline float __int_as_float(int x) {
    return plm_bits<float>(x);
}
inline long long __double_as_longlong(double x) {
    return plm_bits<long long>(x);
}
inline double __longlong_as_double(long long x) {
    return plm_bits<double>(x);
}

#define SHARED(T, name, dims)   \
    using name##_type = T dims; \
    auto& name =                \
        *static_cast<name##_type*>(::sim::block.shared({__FILE__, int(__COUNTER__)}, sizeof(name##_type)))
#define DYN_SHARED(T, name) \
    T* name = static_cast<T*>(::sim::block.shared({"dynamic", 0}, ::sim::dynamic_shared()))

template <class... P>
struct KernelCall {
    void (*kernel)(P...);
    std::tuple<P...> arguments;
    static void call(void* self) {
        auto& call = *static_cast<KernelCall*>(self);
        std::apply(call.kernel, call.arguments);
    }
};

template <class... P, class... A>
cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, cudaStream_t, A... arguments) {
    KernelCall<P...> call{kernel, {static_cast<P>(arguments)...}};
    return sim::run({grid, block, shared, &KernelCall<P...>::call, &call, sizeof call});
}
