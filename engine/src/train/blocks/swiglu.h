// norm -> gated linear unit -> projection. Serves the trunk (a row per character) and the head (a row per
// byte).
#pragma once
#include <algorithm>

#include "../parameters.h"
#include "block.h"

namespace plm::train {

template <class T>
class SwiGlu : public Block<T> {
  public:
    SwiGlu(const Ops<T>& ops, int width, int hidden, const Parameters& parameters, const std::string& prefix)
        : Block<T>(ops), width_(width), hidden_(hidden) {
        norm_ = parameters.offset(prefix + "norm");
        up_ = parameters.offset(prefix + "up");
        down_ = parameters.offset(prefix + "down");
    }

    void forward(const T* w, const T* inp, int B, int length) override {
        int M = rows_ = B * length, D = width_, F = hidden_;
        size_t rows = static_cast<size_t>(M);
        rinv_.resize(rows), normed_.resize(rows * D);
        gates_.resize(rows * 2 * F), product_.resize(rows * F);
        ops_.rmsnorm_forward(normed_.data(), rinv_.data(), inp, w + norm_, M, D);
        ops_.matmul_forward(gates_.data(), normed_.data(), w + up_, M, 2 * F, D, false);
        ops_.swiglu_forward(product_.data(), gates_.data(), M, F);
        this->out_.copy(inp, rows * D);
        ops_.matmul_forward(this->out_.data(), product_.data(), w + down_, M, D, F, true);
    }

    void backward(const T* w, T* g, T* dstream, const T* inp, Workspace<T>& space) override {
        int M = rows_, D = width_, F = hidden_;
        T* small = space.reserve(space.a, static_cast<size_t>(M) * std::max(F, D));
        T* large = space.reserve(space.b, static_cast<size_t>(M) * 2 * F);
        ops_.matmul_backward_weight(g + down_, dstream, product_.data(), M, D, F);
        ops_.matmul_backward_input(small, dstream, w + down_, M, D, F, false);
        ops_.swiglu_backward(large, small, gates_.data(), M, F);
        ops_.matmul_backward_weight(g + up_, large, normed_.data(), M, 2 * F, D);
        ops_.matmul_backward_input(small, large, w + up_, M, 2 * F, D, false);
        ops_.rmsnorm_backward(dstream, g + norm_, small, inp, rinv_.data(), w + norm_, M, D);
    }

  private:
    using Block<T>::ops_;
    int width_, hidden_, rows_ = 0;
    size_t norm_, up_, down_;
    Buffer<T> rinv_{ops_}, normed_{ops_}, gates_{ops_}, product_{ops_};
};

}  // namespace plm::train
