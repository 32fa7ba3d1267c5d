// One block of threads at a time: who runs next, where threads wait for each other, and what went wrong.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "fiber.h"

namespace sim {

constexpr size_t kShared = 99 << 10;  // of a block on sm_86 and sm_89, the least of the targets

struct Dim3 {
    unsigned x = 1, y = 1, z = 1;
    Dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
    size_t count() const { return size_t(x) * y * z; }
};

enum class Policy { kForward, kReverse, kRandom, kPreempt };

struct Site {
    const char* file;
    int line;
    bool operator==(const Site& o) const { return line == o.line && file == o.file; }
    std::string text() const;
};

struct Thread;

// What the lanes of a warp do together: the last to arrive does it for all of them. lanes[i] is nullptr where
// lane i is not in the mask; inputs and outputs lie on the lanes' stacks.
using Lanes = Thread* const (&)[32];
using Together = void (*)(Lanes lanes);

enum class State { kReady, kBarrier, kTogether, kDone };

// A copy from global to shared memory that has been asked for and not been waited for.
struct AsyncCopy {
    void* to;
    const void* from;
    bool valid;
    int group;
    uintptr_t pc;
};

struct Thread {
    Context context;
    Stack stack;
    unsigned index = 0;  // in the block
    State state = State::kDone;
    Site site{nullptr, 0};  // where it waits
    Together together = nullptr;
    unsigned mask = 0;
    const void* inp = nullptr;
    void* out = nullptr;
    std::vector<AsyncCopy> copies;
    int groups = 0;      // of copies, committed
    uint32_t clock[32];  // what it knows of the lanes of its warp (vector clock); [lane] is its own time
    unsigned lane() const { return index % 32; }
};

struct SharedSlot {
    Site site;
    char* begin;
    size_t size;
};

struct Launch {
    Dim3 grid, block;
    size_t dynamic_shared;
    void (*call)(void*);  // calls the kernel with the arguments
    void* arguments;
    size_t argument_bytes;
};

class Block {
  public:
    // Runs all blocks of a launch, in the policy's order; false if something was found.
    bool run(const Launch& launch);

    // For the running thread:
    void barrier(Site site);
    void meet(Together together, unsigned mask, Site site, const void* inp, void* out);
    void* shared(Site site, size_t size);
    void maybe_preempt() {
        if (policy == Policy::kPreempt && (random() & 63u) == 0) yield_ready();
    }
    // Reports and ends the launch; does not return inside a kernel.
    void fail(const std::string& what, uintptr_t pc = 0);

    Policy policy = Policy::kForward;
    uint64_t seed = 0;
    Thread* current = nullptr;  // nullptr: the host's code runs
    const Launch* launch = nullptr;
    Dim3 block_index{0, 0, 0};
    uint32_t serial = 0;  // of the block, over all launches
    uint32_t launch_serial = 0;
    uint32_t epoch = 0;  // barriers passed
    std::string error;   // the first thing that was found
    std::vector<SharedSlot> slots;
    std::vector<Thread> threads;
    unsigned random();

    static constexpr size_t kArena = 256 << 10;
    char* arena = nullptr;

  private:
    bool run_block();
    void begin_block();
    Thread* next();
    void ready(Thread& thread);
    void wait(State state);
    void yield_ready();
    void finish_if_complete(Thread& thread);
    bool release_barrier();
    void report_deadlock();
    static void entry();

    Context host_;
    std::vector<unsigned> ready_;
    size_t first_ = 0;  // of ready_, where the policy takes from the front
    size_t live_ = 0;
    size_t used_ = 0;  // of the arena
};

extern Block block;

std::string place(uintptr_t pc);  // the name that the module gives it: "+0x1234"

}  // namespace sim
