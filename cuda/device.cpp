#include "device.h"

#include <algorithm>

namespace plm_cuda {
namespace {

constexpr int kOldest = 8;  // compute capability: the kernels copy by cp.async

std::string version(int number) {
    return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

std::string megabytes(size_t bytes) {
    return std::to_string((bytes + (1u << 20) - 1) >> 20) + " MB";
}

int attribute(cudaDeviceAttr which) {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, which, 0), "asking the device");
    return value;
}

// A few sizes for each doubling, so that buffers that grow a little find what was left of others.
size_t rounded(size_t bytes) {
    size_t step = 512;
    while (step * 8 < bytes) step *= 2;
    return std::max(step, (bytes + step - 1) / step * step);
}

}  // namespace

void check(cudaError_t code, const char* what) {
    if (code != cudaSuccess) throw Error(std::string("CUDA: ") + what + ": " + cudaGetErrorString(code));
}

std::string problem() {
    int driver = 0, runtime = 0, count = 0;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    if (driver == 0) return "no NVIDIA driver answers";
    if (driver / 1000 < runtime / 1000)
        return "the NVIDIA driver supports CUDA " + version(driver) + ", and " + version(runtime) +
               " is needed: update the driver";
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess) return std::string("no device answers: ") + cudaGetErrorString(error);
    if (count == 0) return "there is no device";
    int major = attribute(cudaDevAttrComputeCapabilityMajor);
    if (major < kOldest)
        return device_name() + " has compute capability " + std::to_string(major) + "." +
               std::to_string(attribute(cudaDevAttrComputeCapabilityMinor)) + ", and 8.0 is needed";
    return "";
}

std::string device_name() {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, 0), "asking the device");
    return properties.name;
}

size_t shared_memory() {
    return static_cast<size_t>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
}

double peak_flops() {
    int major = attribute(cudaDevAttrComputeCapabilityMajor);
    int minor = attribute(cudaDevAttrComputeCapabilityMinor);
    // Products of dense bf16 in a clock of one processor, by NVIDIA's white papers.
    double products = major >= 9 ? 2048 : minor == 0 ? 1024 : 512;
    return 2e3 * products * attribute(cudaDevAttrMultiProcessorCount) * attribute(cudaDevAttrClockRate);
}

Stream::Stream() {
    check(cudaStreamCreate(&stream_), "making a stream");
}

Stream::~Stream() {
    cudaStreamSynchronize(stream_);
    for (const auto& [data, size] : sizes_) cudaFree(data);
    cudaStreamDestroy(stream_);
}

bool Stream::fresh(void** data, size_t size) {
    if (cudaMalloc(data, size) == cudaSuccess) return true;
    cudaGetLastError();  // or the next launch would report it
    return false;
}

void* Stream::allocate(size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    size_t size = rounded(bytes);
    std::vector<void*>& same = idle_[size];
    if (!same.empty()) {
        void* data = same.back();
        same.pop_back();
        return data;
    }
    void* data = nullptr;
    if (!fresh(&data, size)) {  // once more, without what is kept for later
        cudaStreamSynchronize(stream_);
        for (auto& [kept, places] : idle_) {
            for (void* place : places) cudaFree(place), sizes_.erase(place);
            places.clear();
        }
        if (!fresh(&data, size)) {
            size_t free = 0, total = 0;
            cudaMemGetInfo(&free, &total);
            throw Error("CUDA: out of memory: " + megabytes(bytes) + " more are needed, " + megabytes(free) +
                        " of " + megabytes(total) + " are free");
        }
    }
    sizes_[data] = size;
    return data;
}

void Stream::release(void* data) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_[sizes_.at(data)].push_back(data);
}

void Stream::zero(void* data, size_t bytes) {
    if (bytes) check(cudaMemsetAsync(data, 0, bytes, stream_), "filling with zeros");
}

void Stream::copy(void* to, const void* from, size_t bytes) {
    if (bytes) check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_), "copying");
}

void Stream::copy_rows(void* to, size_t to_stride, const void* from, size_t from_stride, size_t width,
                       size_t rows) {
    if (rows == 1) return copy(to, from, width);
    if (width && rows)
        check(cudaMemcpy2DAsync(to, to_stride, from, from_stride, width, rows, cudaMemcpyDeviceToDevice,
                                stream_),
              "copying rows");
}

void Stream::write(void* to, const void* host, size_t bytes) {
    if (bytes)
        check(cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, stream_), "copying to the device");
}

void Stream::read(void* host, const void* from, size_t bytes) {
    if (bytes)
        check(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, stream_), "copying from the device");
    check(cudaStreamSynchronize(stream_), "waiting for the device");
}

}  // namespace plm_cuda
