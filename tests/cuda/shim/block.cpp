#include "block.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "async_copy.h"
#include "memory.h"

namespace sim {

Block block;

namespace {

constexpr size_t kGap = 64;  // between shared arrays: whoever runs past one meets nothing
constexpr unsigned kThreads = 1024;

unsigned next_random(uint64_t& state) {
    uint64_t z = (state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    return unsigned((z ^ (z >> 27)) >> 32);
}

}  // namespace

std::string Site::text() const {
    const char* slash = file ? std::strrchr(file, '/') : nullptr;
    return std::string(slash ? slash + 1 : file ? file : "?") + ":" + std::to_string(line);
}

unsigned Block::random() {
    return next_random(seed);
}

void Block::fail(const std::string& what, uintptr_t pc) {
    if (error.empty()) {
        error = what;
        if (current) {
            error += " | block (" + std::to_string(block_index.x) + "," + std::to_string(block_index.y) +
                     "," + std::to_string(block_index.z) + ") thread " + std::to_string(current->index);
        }
        if (pc) error += " at " + place(pc);
    }
    if (current) {
        Thread& leaving = *current;
        current = nullptr;
        Context::change(leaving.context, host_, true);
    }
}

bool Block::run(const Launch& what) {
    ++launch_serial;
    size_t count = what.block.count();
    if (count == 0 || count > kThreads || what.grid.count() == 0) {
        fail("launch of " + std::to_string(what.grid.count()) + " blocks of " + std::to_string(count) +
             " threads");
        return false;
    }
    if (threads.size() < count) {
        threads.resize(kThreads);
        for (Thread& t : threads) {
            if (t.stack.low) continue;
            void* memory = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (memory == MAP_FAILED) std::abort();
            t.stack = {static_cast<char*>(memory), kStackBytes};
            t.index = unsigned(&t - threads.data());
        }
    }
    launch = &what;
    size_t blocks = what.grid.count();
    // Blocks may come in any order on a device; a stride prime to their number gives a different one.
    size_t stride = policy == Policy::kForward ? 1 : blocks - 1;
    if (policy == Policy::kRandom || policy == Policy::kPreempt) {
        stride = 1 + random() % blocks;
        for (auto prime =
                 [&] {
                     size_t a = blocks, b = stride;
                     while (b) std::swap(a %= b, b);
                     return a == 1;
                 };
             !prime();)
            ++stride;
    }
    bool fine = true;
    for (size_t i = 0, at = stride ? stride - 1 : 0; i < blocks && fine; ++i, at += stride) {
        size_t b = at % blocks;
        block_index = Dim3(unsigned(b % what.grid.x), unsigned(b / what.grid.x % what.grid.y),
                           unsigned(b / what.grid.x / what.grid.y));
        fine = run_block();
    }
    launch = nullptr;
    return fine;
}

void Block::begin_block() {
    ++serial;
    epoch = 0;
    if (!arena) arena = static_cast<char*>(memory_arena(kArena));
    memory_begin_block();
    slots.clear();
    used_ = kGap;
    live_ = launch->block.count();
    ready_.clear(), first_ = 0;
    for (unsigned i = 0; i < live_; ++i) {
        Thread& t = threads[i];
        t.context.prepare(t.stack, (i % 61) * 256, &Block::entry);
        t.copies.clear(), t.groups = 0;
        std::memset(t.clock, 0, sizeof t.clock);
        t.clock[t.lane()] = 1;
        ready(t);
    }
}

bool Block::run_block() {
    begin_block();
    while (live_ > 0 && error.empty()) {
        Thread* thread = next();
        if (!thread) {
            if (!release_barrier()) report_deadlock();
            continue;
        }
        current = thread;
        Context::change(host_, thread->context, false);
        current = nullptr;
    }
    return error.empty();
}

void Block::entry() {
    Context::entered(block.current->context);
    block.launch->call(block.launch->arguments);
    Thread& self = *block.current;
    if (!self.copies.empty()) block.fail("cp.async was never waited for", self.copies[0].pc);
    self.state = State::kDone;
    --block.live_;
    block.current = nullptr;
    Context::change(self.context, block.host_, true);
    std::abort();
}

Thread* Block::next() {
    size_t count = ready_.size() - first_;
    if (count == 0) return nullptr;
    unsigned chosen;
    if (policy == Policy::kForward) {
        chosen = ready_[first_++];
        if (first_ == ready_.size()) ready_.clear(), first_ = 0;
    } else {
        if (policy != Policy::kReverse) std::swap(ready_[random() % count], ready_.back());
        chosen = ready_.back();
        ready_.pop_back();
    }
    return &threads[chosen];
}

void Block::ready(Thread& thread) {
    thread.state = State::kReady;
    ready_.push_back(thread.index);
}

void Block::wait(State state) {
    Thread& self = *current;
    self.state = state;
    current = nullptr;
    Context::change(self.context, host_, false);
}

void Block::yield_ready() {
    Thread& self = *current;
    ready(self);
    current = nullptr;
    Context::change(self.context, host_, false);
}

void Block::barrier(Site site) {
    current->site = site;
    wait(State::kBarrier);
}

bool Block::release_barrier() {
    size_t count = launch->block.count();
    for (size_t i = 0; i < count; ++i) {
        if (threads[i].state != State::kBarrier) return false;
    }
    for (size_t i = 1; i < count; ++i) {
        if (threads[i].site == threads[0].site) continue;
        current = nullptr;
        fail("barrier divergence: thread 0 waits at " + threads[0].site.text() + ", thread " +
             std::to_string(i) + " at " + threads[i].site.text());
        return true;
    }
    ++epoch;
    for (size_t i = 0; i < count; ++i) ready(threads[i]);
    return true;
}

void Block::report_deadlock() {
    std::string waiting, gone;
    size_t count = launch->block.count(), others = 0;
    for (size_t i = 0; i < count; ++i) {
        const Thread& t = threads[i];
        if (t.state == State::kDone) {
            if (gone.empty()) gone = "; thread " + std::to_string(i) + " has ended";
        } else if (++others <= 3) {
            waiting += (others > 1 ? ", thread " : " thread ") + std::to_string(i) + " waits at " +
                       t.site.text() + (t.state == State::kBarrier ? " for the block" : " for its warp");
        }
    }
    fail("deadlock:" + waiting + gone);
}

void Block::meet(Together together, unsigned mask, Site site, const void* inp, void* out) {
    Thread& self = *current;
    if (!(mask >> self.lane() & 1u)) {
        fail("lane " + std::to_string(self.lane()) + " is not in its own mask at " + site.text());
    }
    self.site = site, self.together = together, self.mask = mask, self.inp = inp, self.out = out;
    self.state = State::kTogether;
    Thread* lanes[32] = {};
    size_t warp = self.index / 32 * 32, count = launch->block.count();
    for (unsigned i = 0; i < 32; ++i) {
        if (!(mask >> i & 1u)) continue;
        Thread* other = warp + i < count ? &threads[warp + i] : nullptr;
        if (!other || other->state != State::kTogether || other->together != together ||
            other->mask != mask || !(other->site == site)) {
            wait(State::kTogether);  // the last to arrive will wake this one; a mask that nobody fills
                                     // deadlocks
            return;
        }
        lanes[i] = other;
    }
    together(lanes);
    for (Thread* lane : lanes) {
        if (lane && lane != &self) ready(*lane);
    }
    self.state = State::kReady;
}

void* Block::shared(Site site, size_t size) {
    for (const SharedSlot& slot : slots) {
        if (slot.site == site) return slot.begin;
    }
    size_t total = size;
    for (const SharedSlot& slot : slots) total += slot.size;
    if (total > kShared || used_ + size + 2 * kGap > kArena) {
        fail("shared memory: " + std::to_string(total) + " bytes wanted, a block has " +
             std::to_string(kShared));
    }
    SharedSlot slot{site, arena + used_, size};
    used_ += (size + kGap + 127) / 64 * 64;
    memory_shared(slot);
    slots.push_back(slot);
    return slot.begin;
}

}  // namespace sim
