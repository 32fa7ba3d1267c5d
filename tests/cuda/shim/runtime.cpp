// cudaMalloc and its like, and what the tests steer: the schedule, and the report of what was found.
#include <chrono>
#include <map>

#include "cuda_runtime.h"
#include "memory.h"

namespace sim {

dim3 thread_index() {
    unsigned i = block.current->index;
    const Dim3& b = block.launch->block;
    return {i % b.x, i / b.x % b.y, i / b.x / b.y};
}
dim3 block_index() {
    return block.block_index;
}
dim3 block_dim() {
    return block.launch->block;
}
dim3 grid_dim() {
    return block.launch->grid;
}

size_t dynamic_shared() {
    return block.launch->dynamic_shared;
}

// After an error every launch fails, as on a device, until it is taken.
cudaError_t run(const Launch& launch) {
    return block.error.empty() && block.run(launch) ? cudaSuccess : cudaErrorLaunchFailure;
}

}  // namespace sim

#define API extern "C" __attribute__((visibility("default")))

// As much as a small device has, less if a test wants to see it run out.
static size_t total_bytes = size_t(8) << 30, used_bytes = 0;
static std::map<void*, size_t> allocated;

API cudaError_t cudaMalloc(void** p, size_t size) {
    *p = used_bytes + size > total_bytes ? nullptr : sim::device_allocate(size);
    if (!*p) return cudaErrorMemoryAllocation;
    used_bytes += allocated[*p] = size;
    return cudaSuccess;
}

API cudaError_t cudaFree(void* p) {
    if (!sim::device_free(p)) return cudaErrorInvalidValue;
    used_bytes -= allocated[p];
    allocated.erase(p);
    return cudaSuccess;
}

API void sim_total_bytes(size_t bytes) {
    total_bytes = bytes;
}

API cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
    *free = total_bytes > used_bytes ? total_bytes - used_bytes : 0, *total = total_bytes;
    return cudaSuccess;
}

// What answers, as a test wants it: a driver's version (0 for none), how many devices, how new they are.
static int driver_version = 13000, device_count = 1, capability = 8;
API void sim_machine(int driver, int devices, int major) {
    driver_version = driver, device_count = devices, capability = major;
}
API cudaError_t cudaDriverGetVersion(int* version) {
    *version = driver_version;
    return cudaSuccess;
}
API cudaError_t cudaRuntimeGetVersion(int* version) {
    *version = 13000;
    return cudaSuccess;
}
API cudaError_t cudaGetDeviceCount(int* count) {
    *count = device_count;
    return cudaSuccess;
}
API cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int) {
    switch (which) {
        case cudaDevAttrClockRate:
            return *value = 1000, cudaSuccess;
        case cudaDevAttrComputeCapabilityMajor:
            return *value = capability, cudaSuccess;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin:
            return *value = int(sim::kShared), cudaSuccess;
        default:
            return *value = 1, cudaSuccess;
    }
}
API cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
    std::strcpy(properties->name, "executor");
    return cudaSuccess;
}

API const char* cudaGetErrorString(cudaError_t error) {
    return !sim::block.error.empty()            ? sim::block.error.c_str()
           : error == cudaErrorMemoryAllocation ? "out of memory"
                                                : "out of bounds, or read before it was written";
}
API cudaError_t cudaGetLastError() {
    return cudaSuccess;
}

// An event is a time of the host's clock, in nanoseconds.
API cudaError_t cudaEventCreate(void** event) {
    *event = new int64_t(0);
    return cudaSuccess;
}
API cudaError_t cudaEventRecord(void* event, cudaStream_t) {
    *static_cast<int64_t*>(event) = std::chrono::steady_clock::now().time_since_epoch().count();
    return cudaSuccess;
}
API cudaError_t cudaEventSynchronize(void*) {
    return cudaSuccess;
}
API cudaError_t cudaEventElapsedTime(float* milliseconds, void* begin, void* end) {
    *milliseconds = float(*static_cast<int64_t*>(end) - *static_cast<int64_t*>(begin)) * 1e-6f;
    return cudaSuccess;
}

API cudaError_t cudaStreamCreate(cudaStream_t* stream) {
    *stream = nullptr;
    return cudaSuccess;
}
API cudaError_t cudaStreamSynchronize(cudaStream_t) {
    return cudaSuccess;
}
API cudaError_t cudaStreamDestroy(cudaStream_t) {
    return cudaSuccess;
}

API cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, int kind, cudaStream_t) {
    bool to_device = kind == 1 || kind == 3, from_device = kind == 2 || kind == 3;
    if (from_device && !sim::host_access(from, size, false)) return cudaErrorInvalidValue;
    if (to_device && !sim::host_access(to, size, true)) return cudaErrorInvalidValue;
    if (size) std::memcpy(to, from, size);
    return cudaSuccess;
}

API cudaError_t cudaMemcpy2DAsync(void* to, size_t to_stride, const void* from, size_t from_stride,
                                  size_t width, size_t rows, cudaMemcpyKind kind, cudaStream_t stream) {
    cudaError_t error = cudaSuccess;
    for (size_t i = 0; i < rows && error == cudaSuccess; ++i)
        error = cudaMemcpyAsync(static_cast<char*>(to) + i * to_stride,
                                static_cast<const char*>(from) + i * from_stride, width, kind, stream);
    return error;
}

API cudaError_t cudaMemcpy(void* to, const void* from, size_t size, int kind) {
    return cudaMemcpyAsync(to, from, size, kind, nullptr);
}

API cudaError_t cudaMemsetAsync(void* at, int value, size_t size, cudaStream_t) {
    if (!sim::host_access(at, size, true)) return cudaErrorInvalidValue;
    if (size) std::memset(at, value, size);
    return cudaSuccess;
}

API void sim_schedule(int policy, uint64_t seed) {
    sim::block.policy = static_cast<sim::Policy>(policy);
    sim::block.seed = seed;
}

// The report of the first thing found since it was last asked for; empty if there is none.
API const char* sim_take_error() {
    static std::string taken;
    taken.swap(sim::block.error);
    sim::block.error.clear();
    return taken.c_str();
}
