// A thin host side of CUDA: which device there is, a stream with memory of its own, and errors as exceptions
// of one line. It uses the runtime's C functions alone, so that the same
// code runs on the executor in tests/cuda.
#pragma once
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "launch.h"

namespace plm_cuda {

class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// Throws Error, naming what was done, unless all is well.
void check(cudaError_t code, const char* what);

// Why no device can be used, in one line; empty where one can.
std::string problem();
std::string device_name();
// Bytes of shared memory that a block may have.
size_t shared_memory();
// FLOP/s of the tensor cores in bf16, by the number of processors and their clock.
double peak_flops();

// Work in the order of the calls, and memory for it. What was released is kept and given out again: later
// work of the same stream comes after all that used it before. Calls may come from several threads.
class Stream {
  public:
    Stream();
    ~Stream();
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    cudaStream_t handle() const { return stream_; }
    void* allocate(size_t bytes);
    void release(void* data) noexcept;
    void zero(void* data, size_t bytes);
    void copy(void* to, const void* from, size_t bytes);
    void copy_rows(void* to, size_t to_stride, const void* from, size_t from_stride, size_t width,
                   size_t rows);
    void write(void* to, const void* host, size_t bytes);
    void read(void* host, const void* from, size_t bytes);  // waits for all that was asked for before

  private:
    bool fresh(void** data, size_t size);

    cudaStream_t stream_ = nullptr;
    std::mutex mutex_;
    std::map<size_t, std::vector<void*>> idle_;  // by size
    std::map<void*, size_t> sizes_;              // of all there is
};

// Room for n numbers on a stream, for as long as it lives.
template <class T>
class Scratch {
  public:
    Scratch(Stream& stream, size_t n)
        : stream_(stream), data_(static_cast<T*>(stream.allocate(n * sizeof(T)))) {}
    Scratch(Stream& stream, const T* host, size_t n) : Scratch(stream, n) {
        stream.write(data_, host, n * sizeof(T));
    }
    ~Scratch() { stream_.release(data_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    operator T*() const { return data_; }

  private:
    Stream& stream_;
    T* data_;
};

}  // namespace plm_cuda
