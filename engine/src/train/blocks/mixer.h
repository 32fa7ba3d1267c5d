// What all mixers of patches have around what is their own:
//   norm -> convolution over three patches -> in -> mix -> out,
// and states carried from one window of training to the next.
#pragma once
#include <algorithm>

#include "../parameters.h"
#include "block.h"

namespace plm::train {

template <class T>
class Mixer : public Block<T> {
  public:
    void forward(const T* w, const T* inp, int B, int length) override {
        B_ = B, length_ = length;
        int M = B * length, D = width_;
        size_t rows = static_cast<size_t>(M);
        rinv_.resize(rows);
        normed_.resize(rows * D), mixed_.resize(rows * D);
        joined_.resize(rows * joined_width_), y_.resize(rows * inner_width_);
        resize(M);
        size_t states = static_cast<size_t>(B) * state_size_, histories = static_cast<size_t>(B) * 2 * D;
        if (end_state_.size() != states) end_state_.zero(states), end_history_.zero(histories);
        start_state_.swap(end_state_), start_history_.swap(end_history_);
        ops_.rmsnorm_forward(normed_.data(), rinv_.data(), inp, w + norm_, M, D);
        ops_.conv_forward(mixed_.data(), normed_.data(), start_history_.data(), w + conv_, B, length, D);
        ops_.matmul_forward(joined_.data(), mixed_.data(), w + in_, M, joined_width_, D, false);
        mix_forward(w);
        this->out_.copy(inp, rows * D);
        ops_.matmul_forward(this->out_.data(), y_.data(), w + out_weight_, M, D, inner_width_, true);
        keep_last(end_history_, start_history_, normed_.data(), B, length, 2, D, D);
        keep_state();
    }

    void backward(const T* w, T* g, T* dstream, const T* inp, Workspace<T>& space) override {
        int M = B_ * length_, D = width_;
        T* small = space.reserve(space.a, static_cast<size_t>(M) * std::max(inner_width_, D));
        T* large = space.reserve(space.b, static_cast<size_t>(M) * std::max(joined_width_, D));
        ops_.matmul_backward_weight(g + out_weight_, dstream, y_.data(), M, D, inner_width_);
        ops_.matmul_backward_input(small, dstream, w + out_weight_, M, D, inner_width_, false);
        mix_backward(w, g, large, small);
        ops_.matmul_backward_weight(g + in_, large, mixed_.data(), M, joined_width_, D);
        ops_.matmul_backward_input(small, large, w + in_, M, joined_width_, D, false);
        ops_.conv_backward(large, g + conv_, small, normed_.data(), start_history_.data(), w + conv_, B_,
                           length_, D);
        ops_.rmsnorm_backward(dstream, g + norm_, large, inp, rinv_.data(), w + norm_, M, D);
    }

    std::vector<Carried<T>> carried() override {
        return {{&end_state_, state_size_}, {&end_history_, 2 * width_}};
    }

  protected:
    // Numbers of a row behind `in` (joined), of a row before `out` (inner), and carried for a sequence
    // (state).
    Mixer(const Ops<T>& ops, const Config& config, const Parameters& parameters, const std::string& prefix,
          int joined, int inner, int state)
        : Block<T>(ops),
          width_(config.width),
          joined_width_(joined),
          inner_width_(inner),
          state_size_(state) {
        norm_ = parameters.offset(prefix + "norm");
        conv_ = parameters.offset(prefix + "conv");
        in_ = parameters.offset(prefix + "in");
        bias_ = parameters.offset(prefix + "bias");
        out_weight_ = parameters.offset(prefix + "out");
    }

    virtual void resize(int M) = 0;            // buffers of its own
    virtual void mix_forward(const T* w) = 0;  // y_ from joined_ and start_state_
    // djoined from dy, and the gradients of the weights of its own.
    virtual void mix_backward(const T* w, T* g, T* djoined, const T* dy) = 0;
    virtual void keep_state() = 0;  // end_state_, (B, state)

    using Block<T>::ops_;
    int width_, joined_width_, inner_width_, state_size_, B_ = 0, length_ = 0;
    size_t norm_, conv_, in_, bias_, out_weight_;
    Buffer<T> rinv_{ops_}, normed_{ops_}, mixed_{ops_}, joined_{ops_}, y_{ops_};
    Buffer<T> start_state_{ops_}, start_history_{ops_}, end_state_{ops_}, end_history_{ops_};
};

}  // namespace plm::train
