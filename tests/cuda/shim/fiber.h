// Fibers: threads of a kernel that change places by an ordinary function call, so that a block of a thousand
// runs on one thread of the host in an order that the scheduler chooses.
#pragma once
#include <cstddef>

namespace sim {

struct Stack {
    char* low = nullptr;
    size_t size = 0;
    bool holds(const void* p) const { return p >= low && p < low + size; }
};

constexpr size_t kStackBytes = 64 << 10;

class Context {
  public:
    // Makes this the start of `entry` on `stack`; entry never returns.
    void prepare(const Stack& stack, size_t stagger, void (*entry)());
    // Leaves `from` (the running one) and goes on in `to`. `ends`: nobody will come back to `from`.
    static void change(Context& from, Context& to, bool ends);
    // The first thing that an entry must call.
    static void entered(Context& self);

  private:
    void* sp_ = nullptr;
    Stack stack_;
    void* fake_stack_ = nullptr;  // the address sanitizer's
};

}  // namespace sim
