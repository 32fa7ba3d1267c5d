#include "memory.h"

#include <cstring>
#include <new>

#include "large_pages.h"

namespace plm::train {
namespace {

void* allocate(size_t bytes) {
    if (void* data = allocate_large(bytes)) return data;
    throw std::bad_alloc();
}

void zero(void* data, size_t bytes) {
    if (bytes) std::memset(data, 0, bytes);
}

void copy(void* to, const void* from, size_t bytes) {
    if (bytes) std::memcpy(to, from, bytes);
}

void copy_rows(void* to, size_t to_stride, const void* from, size_t from_stride, size_t width, size_t rows) {
    for (size_t i = 0; i < rows; ++i)
        copy(static_cast<char*>(to) + i * to_stride, static_cast<const char*>(from) + i * from_stride, width);
}

}  // namespace

const Memory host_memory{false, allocate, free, zero, copy_rows, copy, copy};

}  // namespace plm::train
