#include "fiber.h"

#include <cstdint>

#if defined(__SANITIZE_ADDRESS__)
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if !defined(__x86_64__)
#error "the fibers of the CUDA shim are written for x86-64"
#endif

// Saves what a called function must preserve, changes stacks, and takes the same back: swapcontext without
// its two system calls.
extern "C" void plm_sim_change(void** save, void* load);
asm(R"(
.text
.hidden plm_sim_change
.globl plm_sim_change
.type plm_sim_change, @function
plm_sim_change:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size plm_sim_change, .-plm_sim_change
)");

namespace sim {

void Context::prepare(const Stack& stack, size_t stagger, void (*entry)()) {
    stack_ = stack;
#if defined(__SANITIZE_ADDRESS__)
    ASAN_UNPOISON_MEMORY_REGION(stack.low, stack.size);  // what an earlier thread left when it ended
#endif
    // As a call leaves it: 8 bytes past a multiple of 16. Stack tops that differ by more than a page keep a
    // thousand of them out of the same few lines of the cache.
    auto top = (reinterpret_cast<uintptr_t>(stack.low) + stack.size - 64 - stagger) & ~uintptr_t{15};
    void** frame = reinterpret_cast<void**>(top) - 10;
    for (int i = 0; i < 10; ++i) frame[i] = nullptr;
    frame[6] = reinterpret_cast<void*>(entry);
    sp_ = frame;
    fake_stack_ = nullptr;
}

void Context::change(Context& from, Context& to, bool ends) {
#if defined(__SANITIZE_ADDRESS__)
    if (to.stack_.low == nullptr) {  // the host's own
        pthread_attr_t attributes;
        void* low;
        pthread_getattr_np(pthread_self(), &attributes);
        pthread_attr_getstack(&attributes, &low, &to.stack_.size);
        pthread_attr_destroy(&attributes);
        to.stack_.low = static_cast<char*>(low);
    }
    __sanitizer_start_switch_fiber(ends ? nullptr : &from.fake_stack_, to.stack_.low, to.stack_.size);
    plm_sim_change(&from.sp_, to.sp_);
    __sanitizer_finish_switch_fiber(from.fake_stack_, nullptr, nullptr);
#else
    (void)ends;
    plm_sim_change(&from.sp_, to.sp_);
#endif
}

void Context::entered(Context& self) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(self.fake_stack_, nullptr, nullptr);
#else
    (void)self;
#endif
}

}  // namespace sim
