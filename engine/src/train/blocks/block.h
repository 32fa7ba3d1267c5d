// A block adds something to the residual stream: out = inp + f(inp). It keeps what its backward pass needs.
#pragma once
#include <vector>

#include "../ops.h"

namespace plm {

// Buffers that no block needs between its calls, so all blocks of a shard share them.
template <class T>
struct Workspace {
    std::vector<T> a, b;
    T* reserve(std::vector<T>& buffer, size_t n) {
        if (buffer.size() < n) buffer.resize(n);
        return buffer.data();
    }
};

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

  protected:
    std::vector<T> out_;
};

}  // namespace plm
