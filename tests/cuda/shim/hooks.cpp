// What -fsanitize=thread has the compiler call. Sizes that are powers of two come with their alignment
// promised, which is checked; the "unaligned" ones are accesses that the source made without such a promise.
#include "block.h"
#include "memory.h"

namespace {

using sim::Kind;

inline void access(void* at, size_t size, Kind kind, bool aligned, void* pc) {
    if (!sim::block.current) return;
    auto where = reinterpret_cast<uintptr_t>(pc) - 1;  // inside the call, not after it
    if (aligned && reinterpret_cast<uintptr_t>(at) % size != 0 && !sim::block.current->stack.holds(at))
        sim::block.fail("misaligned access of " + std::to_string(size) + " bytes", where);
    sim::block.maybe_preempt();
    sim::memory_access(at, size, kind, where);
}

}  // namespace

#define SIZED(n)                                                        \
    void __tsan_read##n(void* p) {                                      \
        access(p, n, Kind::kRead, true, __builtin_return_address(0));   \
    }                                                                   \
    void __tsan_write##n(void* p) {                                     \
        access(p, n, Kind::kWrite, true, __builtin_return_address(0));  \
    }                                                                   \
    void __tsan_unaligned_read##n(void* p) {                            \
        access(p, n, Kind::kRead, false, __builtin_return_address(0));  \
    }                                                                   \
    void __tsan_unaligned_write##n(void* p) {                           \
        access(p, n, Kind::kWrite, false, __builtin_return_address(0)); \
    }                                                                   \
    void __tsan_volatile_read##n(void* p) {                             \
        access(p, n, Kind::kRead, true, __builtin_return_address(0));   \
    }                                                                   \
    void __tsan_volatile_write##n(void* p) {                            \
        access(p, n, Kind::kWrite, true, __builtin_return_address(0));  \
    }

extern "C" {
SIZED(1)
SIZED(2)
SIZED(4)
SIZED(8)
SIZED(16)
void __tsan_read_range(void* p, size_t n) {
    access(p, n, Kind::kRead, false, __builtin_return_address(0));
}
void __tsan_write_range(void* p, size_t n) {
    access(p, n, Kind::kWrite, false, __builtin_return_address(0));
}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void*, void*) {}
void __tsan_init() {}
// A wide type may be read in parts; -fsanitize=alignment looks at the address of the whole.
void __ubsan_handle_type_mismatch_v1(void*, void*) {
    if (sim::block.current)
        sim::block.fail("misaligned access", reinterpret_cast<uintptr_t>(__builtin_return_address(0)) - 1);
}
}
