// cudaMalloc and its like, and what the tests steer: the schedule, and the report of what was found.
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

API cudaError_t cudaMalloc(void** p, size_t size) {
    *p = sim::device_allocate(size);
    return *p ? cudaSuccess : cudaErrorMemoryAllocation;
}

API cudaError_t cudaFree(void* p) {
    return sim::device_free(p) ? cudaSuccess : cudaErrorInvalidValue;
}

API cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, int kind, cudaStream_t) {
    bool to_device = kind == 1 || kind == 3, from_device = kind == 2 || kind == 3;
    if (from_device && !sim::host_access(from, size, false)) return cudaErrorInvalidValue;
    if (to_device && !sim::host_access(to, size, true)) return cudaErrorInvalidValue;
    if (size) std::memcpy(to, from, size);
    return cudaSuccess;
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
