// Device and shared memory. In the checked build (SIM_CHECKED) every byte has a shadow: who wrote and read it
// last, and whether anybody did at all; elsewhere these functions only allocate, and the address sanitizer
// looks.
#pragma once
#include <cstddef>
#include <cstdint>

namespace sim {

struct SharedSlot;
enum class Kind { kRead, kWrite, kAtomic };

void* memory_arena(size_t size);
void memory_begin_block();
void memory_shared(const SharedSlot& slot);
// What the running thread does; ends the launch with a report if it must not.
void memory_access(const void* at, size_t size, Kind kind, uintptr_t pc);
void memory_pending(void* at, size_t size, bool pending);

void* device_allocate(size_t size);
bool device_free(void* p);
// What the host does between launches; false outside of device memory, or for reading what nobody wrote.
bool host_access(const void* at, size_t size, bool writes);

}  // namespace sim
