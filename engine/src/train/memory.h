// The memory of a table of operators: the host's, or a device's. Operations happen in the order of the calls;
// on a device they are asynchronous, and `read` waits for them.
#pragma once
#include <cstddef>

namespace plm::train {

struct Memory {
    bool device;
    void* (*allocate)(size_t bytes);  // throws if there is none; what lies there is undefined
    void (*release)(void* data);
    void (*zero)(void* data, size_t bytes);
    // Rows of `width` bytes, so many bytes apart.
    void (*copy_rows)(void* to, size_t to_stride, const void* from, size_t from_stride, size_t width,
                      size_t rows);
    void (*write)(void* to, const void* host, size_t bytes);
    void (*read)(void* host, const void* from, size_t bytes);
};

extern const Memory host_memory;

}  // namespace plm::train
