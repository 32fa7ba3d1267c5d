// A block adds something to the residual stream: out = inp + f(inp). It keeps what its backward pass needs.
#pragma once
#include <algorithm>
#include <vector>

#include "../buffer.h"

namespace plm::train {

// Buffers that no block needs between its calls, so all blocks of a shard share them.
template <class T>
struct Workspace {
    explicit Workspace(const Ops<T>& ops) : a(ops), b(ops) {}
    Buffer<T> a, b;
    T* reserve(Buffer<T>& buffer, size_t n) {
        if (buffer.size() < n) buffer.resize(n);
        return buffer.data();
    }
};

// What a block carries from one window of training to the next: (B, per_sequence) numbers.
template <class T>
struct Carried {
    Buffer<T>* values;
    int per_sequence;
};

// end (B, kept, width): the last rows of every sequence, from which the next window goes on. `rows` has
// `length` of a sequence, `stride` apart; where these are fewer, the last of start are kept too.
template <class T>
void keep_last(Buffer<T>& end, const Buffer<T>& start, const T* rows, int B, int length, int kept, int width,
               int stride) {
    size_t taken = static_cast<size_t>(std::min(kept, length)), old = static_cast<size_t>(kept) - taken;
    size_t n = static_cast<size_t>(B), row = width * sizeof(T), each = kept * row, step = stride * sizeof(T);
    const T* from = rows + (length - taken) * stride;
    const Memory& memory = end.memory();
    end.resize(n * kept * width);
    memory.copy_rows(end.data(), each, start.data() + taken * width, each, old * row, n);
    if (stride == width) {
        memory.copy_rows(end.data() + old * width, each, from, length * step, taken * row, n);
        return;
    }
    for (size_t b = 0; b < n; ++b) {
        memory.copy_rows(end.data() + (b * kept + old) * width, row, from + b * length * stride, step, row,
                         taken);
    }
}

template <class T>
class Block {
  public:
    virtual ~Block() = default;
    // inp (B * length, width), sequence by sequence in time order; the result is output()
    virtual void forward(const T* weights, const T* inp, int B, int length) = 0;
    // dstream: the gradient at the output on entry, at the input on return. Adds to grads (laid out as the
    // weights).
    virtual void backward(const T* weights, T* grads, T* dstream, const T* inp, Workspace<T>& workspace) = 0;
    const T* output() const { return out_.data(); }
    // Part of a checkpoint; blocks that look at one row at a time carry nothing.
    virtual std::vector<Carried<T>> carried() { return {}; }
    void forget(int sequence) {
        for (const Carried<T>& c : carried()) {
            size_t begin = static_cast<size_t>(sequence) * c.per_sequence;
            if (c.values->size() >= begin + c.per_sequence) {
                c.values->memory().zero(c.values->data() + begin, c.per_sequence * sizeof(T));
            }
        }
    }

  protected:
    explicit Block(const Ops<T>& ops) : ops_(ops), out_(ops) {}
    const Ops<T>& ops_;
    Buffer<T> out_;
};

}  // namespace plm::train
