#include "async_copy.h"

#include <cstring>

#include "block.h"
#include "memory.h"

namespace sim {

void async_copy16(void* to, const void* from, bool valid) {
    auto pc = reinterpret_cast<uintptr_t>(__builtin_return_address(0)) - 1;
    if ((reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from)) % 16 != 0)
        block.fail("misaligned cp.async", pc);
    if (valid) memory_access(from, 16, Kind::kRead, pc);
    memory_access(to, 16, Kind::kWrite, pc);
    std::memset(to, 0xFF, 16);
    memory_pending(to, 16, true);
    block.current->copies.push_back({to, from, valid, block.current->groups, pc});
    block.maybe_preempt();
}

void async_commit() {
    ++block.current->groups;
}

void async_wait(int groups_left) {
    Thread& self = *block.current;
    size_t kept = 0;
    for (const AsyncCopy& copy : self.copies) {
        if (copy.group >= self.groups - groups_left) {
            self.copies[kept++] = copy;
            continue;
        }
        memory_pending(copy.to, 16, false);
        memory_access(copy.to, 16, Kind::kWrite, copy.pc);
        if (copy.valid) {
            std::memcpy(copy.to, copy.from, 16);
        } else {
            std::memset(copy.to, 0, 16);
        }
    }
    self.copies.resize(kept);
}

}  // namespace sim
