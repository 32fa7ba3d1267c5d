// Memory for what a step of training streams through: activations, gradients, packed operands. Products walk
// down columns of these, a new page with every row, which exhausts the cache of address translations; pages
// of 2 MB are asked for where the system gives them on demand.
#pragma once
#include <cstdlib>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace plm::train {

// Freed with free(); nullptr if there is no memory.
static inline void* allocate_large(size_t bytes) {
    constexpr size_t kPage = size_t{1} << 21;
    if (bytes < kPage) return aligned_alloc(64, (bytes + 63) / 64 * 64);
    size_t whole = (bytes + kPage - 1) / kPage * kPage;
    void* data = aligned_alloc(kPage, whole);
#if defined(__linux__)
    if (data != nullptr) madvise(data, whole, MADV_HUGEPAGE);  // refused: it works as before, slower
#endif
    return data;
}

}  // namespace plm::train
