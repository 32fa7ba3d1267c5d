// A block adds something to the residual stream: out = inp + f(inp). It keeps what its backward pass needs.
#pragma once
#include <algorithm>
#include <vector>

#include "../buffer.h"
#include "../ops.h"

namespace plm {

// Buffers that no block needs between its calls, so all blocks of a shard share them.
template <class T>
struct Workspace {
    Buffer<T> a, b;
    T* reserve(Buffer<T>& buffer, size_t n) {
        if (buffer.size() < n) buffer.resize(n);
        return buffer.data();
    }
};

// What a block carries from one window of training to the next: (lanes, per_lane) numbers.
template <class T>
struct Carried {
    std::vector<T>* values;
    int per_lane;
};

// The last two rows (width) of every lane, from which a convolution goes on in the next window: from before
// this one (start) where it is shorter.
template <class T>
void keep_history(std::vector<T>& end, const std::vector<T>& start, const Buffer<T>& rows, int lanes,
                  int length, int width) {
    end.resize(start.size());
    for (int b = 0; b < lanes; ++b) {
        for (int i = 0; i < 2; ++i) {
            int t = length - 2 + i;
            const T* from = t >= 0 ? rows.data() + (static_cast<size_t>(b) * length + t) * width
                                   : start.data() + (static_cast<size_t>(b) * 2 + t + 2) * width;
            std::copy_n(from, width, end.begin() + (static_cast<size_t>(b) * 2 + i) * width);
        }
    }
}

template <class T>
class Block {
  public:
    virtual ~Block() = default;
    // inp (lanes * length, width), lane by lane in time order; the result is output()
    virtual void forward(const T* weights, const T* inp, int lanes, int length) = 0;
    // dstream: the gradient at the output on entry, at the input on return. Adds to grads (laid out as the
    // weights).
    virtual void backward(const T* weights, T* grads, T* dstream, const T* inp, Workspace<T>& workspace) = 0;
    const T* output() const { return out_.data(); }
    // Part of a checkpoint; blocks that look at one row at a time carry nothing.
    virtual std::vector<Carried<T>> carried() { return {}; }
    void forget(int lane) {
        for (const Carried<T>& c : carried()) {
            size_t begin = static_cast<size_t>(lane) * c.per_lane;
            if (c.values->size() >= begin + c.per_lane) {
                std::fill_n(c.values->begin() + begin, c.per_lane, T(0));
            }
        }
    }

  protected:
    Buffer<T> out_;
};

}  // namespace plm
