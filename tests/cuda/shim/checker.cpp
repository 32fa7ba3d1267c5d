// The checker: GCC's thread sanitizer has the compiler call a function at every memory access of a kernel;
// those functions are defined here (and libtsan is not linked). An access must lie in live memory, be
// aligned, read what was written, and be ordered against what other threads did to the same bytes.
#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>

#include "block.h"
#include "memory.h"
#include "shadow.h"

namespace sim {
namespace {

std::map<const char*, std::unique_ptr<Region>, std::greater<>> device;  // by their begin
std::vector<std::unique_ptr<Region>> shared;
Region* last_found = nullptr;

struct Module {
    uintptr_t base = 0, low = 0, high = 0;
};

// Where this shared object lies: its constants may be read.
const Module& module() {
    static const Module found = [] {
        Module m;
        Dl_info info;
        dladdr(reinterpret_cast<void*>(&place), &info);
        m.base = m.low = reinterpret_cast<uintptr_t>(info.dli_fbase);
        dl_iterate_phdr(
            [](dl_phdr_info* object, size_t, void* data) {
                auto* m = static_cast<Module*>(data);
                if (object->dlpi_addr != m->base) return 0;
                for (int i = 0; i < object->dlpi_phnum; ++i) {
                    const auto& part = object->dlpi_phdr[i];
                    if (part.p_type == PT_LOAD)
                        m->high = std::max(m->high, uintptr_t(m->base + part.p_vaddr + part.p_memsz));
                }
                return 1;
            },
            &m);
        return m;
    }();
    return found;
}

Region* find(const void* p) {
    if (last_found && last_found->holds(p, 1)) return last_found;
    const char* at = static_cast<const char*>(p);
    if (block.arena && at >= block.arena && at < block.arena + Block::kArena) {
        for (auto& region : shared)
            if (region->holds(p, 1)) return last_found = region.get();
        return nullptr;
    }
    auto it = device.lower_bound(at);  // the last that begins at or before
    if (it != device.end() && it->second->holds(p, 1)) return last_found = it->second.get();
    return nullptr;
}

// Whether an earlier access of the same launch happened before the running thread's next one.
bool ordered(const Access& a, const Thread& now) {
    if (a.block != block.serial) return false;
    if (a.thread == now.index || a.epoch < block.epoch) return true;
    return a.thread / 32 == now.index / 32 && now.clock[a.thread % 32] >= a.clock;
}

std::string described(const char* what, const Access& a) {
    return std::string(what) + " by thread " + std::to_string(a.thread) +
           (a.block != block.serial ? " of another block" : "") + " at " + place(module().base + a.pc);
}

void race(const char* now, const char* before, const Access& a, uintptr_t pc) {
    block.fail(std::string("race: ") + now + " after a " + described(before, a) + " with no barrier between",
               pc);
}

void note_read(Cell& cell, const Access& self) {
    Access *a = &cell.read[0], *b = &cell.read[1];
    if (a->block != self.block || a->thread == self.thread || a->epoch != self.epoch) {
        *a = self;
    } else {
        *b = self;
    }
}

void check_cell(Cell& cell, const Thread& thread, Kind kind, uintptr_t pc) {
    if (cell.pending) block.fail("a destination of cp.async used before it was waited for", pc);
    if (cell.launch != block.launch_serial) {  // launches of one stream are ordered
        cell.write.block = cell.read[0].block = cell.read[1].block = 0;
        cell.launch = block.launch_serial;
    }
    bool atomic = kind == Kind::kAtomic;
    Access self{
        block.serial,           block.epoch, thread.clock[thread.lane()], uint32_t(pc - module().base),
        uint16_t(thread.index), atomic};
    if (cell.write.block && !(atomic && cell.write.atomic) && !ordered(cell.write, thread))
        race(kind == Kind::kRead ? "read" : "write", "write", cell.write, pc);
    if (kind != Kind::kWrite && !cell.written) block.fail("read of memory that nobody wrote", pc);
    if (kind == Kind::kRead) return note_read(cell, self);
    for (const Access& r : cell.read)
        if (r.block && !ordered(r, thread)) race("write", "read", r, pc);
    cell.write = self;
    cell.written = true;
}

// Not memory of the device: the thread's own stack, the kernel's arguments, constants of the program.
bool elsewhere(const void* at, size_t size, Kind kind) {
    if (block.current->stack.holds(at)) return true;
    if (kind != Kind::kRead) return false;
    const char *p = static_cast<const char*>(at),
               *arguments = static_cast<const char*>(block.launch->arguments);
    if (p >= arguments && p + size <= arguments + block.launch->argument_bytes) return true;
    auto a = reinterpret_cast<uintptr_t>(at);
    return a >= module().low && a < module().high;
}

}  // namespace

std::string place(uintptr_t pc) {
    char text[32];
    std::snprintf(text, sizeof text, "+0x%zx", size_t(pc - module().base));
    return text;
}

void Region::narrow() {
    std::vector<Cell> fine(size);
    for (size_t i = 0; i < size; ++i) fine[i] = cells[i / granule];
    cells.swap(fine);
    granule = 1;
}

void* memory_arena(size_t size) {
    return std::aligned_alloc(256, size);
}

void memory_begin_block() {
    shared.clear();
    last_found = nullptr;
}

void memory_shared(const SharedSlot& slot) {
    std::memset(slot.begin, 0xFF, slot.size);
    shared.push_back(std::make_unique<Region>(slot.begin, slot.size));
}

void memory_access(const void* at, size_t size, Kind kind, uintptr_t pc) {
    if (elsewhere(at, size, kind)) return;
    Region* region = find(at);
    if (!region || !region->holds(at, size)) {
        block.fail(std::string("out of bounds: ") + (kind == Kind::kRead ? "read" : "write") + " of " +
                       std::to_string(size) + " bytes",
                   pc);
    }
    size_t offset = size_t(static_cast<const char*>(at) - region->begin);
    if (region->granule == 4 && (offset % 4 != 0 || size % 4 != 0)) region->narrow();
    size_t g = region->granule;
    for (size_t i = offset / g; i < (offset + size) / g; ++i)
        check_cell(region->cells[i], *block.current, kind, pc);
}

void memory_pending(void* at, size_t size, bool pending) {
    Region* region = find(at);
    size_t offset = size_t(static_cast<char*>(at) - region->begin), g = region->granule;
    for (size_t i = offset / g; i < (offset + size) / g; ++i) region->cells[i].pending = pending;
}

void* device_allocate(size_t size) {
    constexpr size_t kGuard = 512;
    char* memory = static_cast<char*>(std::aligned_alloc(256, (size + 2 * kGuard + 255) / 256 * 256));
    if (!memory) return nullptr;
    std::memset(memory, 0xFF, size + 2 * kGuard);
    char* begin = memory + kGuard;
    device[begin] = std::make_unique<Region>(begin, size);
    return begin;
}

bool device_free(void* p) {
    auto it = device.find(static_cast<char*>(p));
    if (it == device.end()) return p == nullptr;
    device.erase(it);
    last_found = nullptr;
    std::free(static_cast<char*>(p) - 512);
    return true;
}

bool host_access(const void* at, size_t size, bool writes) {
    if (size == 0) return true;
    Region* region = find(at);
    if (!region || !region->holds(at, size)) return false;
    size_t offset = size_t(static_cast<const char*>(at) - region->begin);
    if (region->granule == 4 && (offset % 4 != 0 || size % 4 != 0)) region->narrow();
    size_t g = region->granule;
    for (size_t i = offset / g; i < (offset + size) / g; ++i) {
        if (writes) region->cells[i].written = true;
        if (!region->cells[i].written) return false;
    }
    return true;
}

}  // namespace sim
