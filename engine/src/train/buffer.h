// std::vector in large pages, for activations and gradients.
#pragma once
#include <new>
#include <vector>

#include "large_pages.h"

namespace plm {

template <class T>
struct LargePages {
    typedef T value_type;
    LargePages() = default;
    template <class U>
    LargePages(const LargePages<U>&) {}
    T* allocate(size_t n) {
        if (void* data = allocate_large(n * sizeof(T))) return static_cast<T*>(data);
        throw std::bad_alloc();
    }
    void deallocate(T* data, size_t) { free(data); }
    friend bool operator==(LargePages, LargePages) { return true; }
    friend bool operator!=(LargePages, LargePages) { return false; }
};

template <class T>
using Buffer = std::vector<T, LargePages<T>>;

}  // namespace plm
