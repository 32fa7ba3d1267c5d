// Memory for the build under the address sanitizer: each allocation by itself, shared arrays with poisoned
// gaps.
#include <sanitizer/asan_interface.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>

#include "block.h"
#include "memory.h"

namespace sim {
namespace {
std::set<void*> allocated;
}

std::string place(uintptr_t pc) {
    char text[32];
    std::snprintf(text, sizeof text, "0x%zx", size_t(pc));
    return text;
}

void* memory_arena(size_t size) {
    return std::aligned_alloc(256, size);
}

void memory_begin_block() {
    ASAN_POISON_MEMORY_REGION(block.arena, Block::kArena);
}

void memory_shared(const SharedSlot& slot) {
    ASAN_UNPOISON_MEMORY_REGION(slot.begin, slot.size);
    std::memset(slot.begin, 0xFF, slot.size);
}

void memory_access(const void*, size_t, Kind, uintptr_t) {}
void memory_pending(void*, size_t, bool) {}

void* device_allocate(size_t size) {
    void* p = nullptr;
    if (posix_memalign(&p, 256, size ? size : 1) != 0) return nullptr;
    std::memset(p, 0xFF, size);
    allocated.insert(p);
    return p;
}

bool device_free(void* p) {
    if (!p) return true;
    if (!allocated.erase(p)) return false;
    std::free(p);
    return true;
}

bool host_access(const void*, size_t, bool) {
    return true;
}

}  // namespace sim
