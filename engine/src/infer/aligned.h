// Vectors that begin at a cache line: rows of whole registers then never straddle two.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace plm::infer {

template <typename T>
struct AlignedAllocator {
    using value_type = T;
    static constexpr std::align_val_t kAlignment{64};

    AlignedAllocator() = default;
    template <typename U>
    AlignedAllocator(const AlignedAllocator<U>&) {}

    T* allocate(size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), kAlignment)); }
    void deallocate(T* memory, size_t) { ::operator delete(memory, kAlignment); }
};

template <typename T, typename U>
bool operator==(const AlignedAllocator<T>&, const AlignedAllocator<U>&) {
    return true;
}
template <typename T, typename U>
bool operator!=(const AlignedAllocator<T>&, const AlignedAllocator<U>&) {
    return false;
}

template <typename T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

}  // namespace plm::infer
