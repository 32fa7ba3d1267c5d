// norm -> short convolution -> gated linear recurrence -> projection, with a state carried from window to
// window.
#pragma once
#include <algorithm>

#include "../parameters.h"
#include "block.h"

namespace plm {

template <class T>
class Recurrence : public Block<T> {
  public:
    Recurrence(const Ops<T>& ops, const Config& config, const Parameters& parameters,
               const std::string& prefix)
        : ops_(ops), width_(config.width), state_(config.state) {
        norm_ = parameters.offset(prefix + "norm");
        conv_ = parameters.offset(prefix + "conv");
        in_ = parameters.offset(prefix + "in");
        bias_ = parameters.offset(prefix + "bias");
        out_weight_ = parameters.offset(prefix + "out");
    }

    void forward(const T* w, const T* inp, int lanes, int length) override {
        lanes_ = lanes, length_ = length;
        int M = lanes * length, D = width_, R = state_;
        resize(M);
        start_state_ = end_state_, start_history_ = end_history_;
        start_state_.resize(static_cast<size_t>(lanes) * R);
        start_history_.resize(static_cast<size_t>(lanes) * 2 * D);
        ops_.rmsnorm_forward(normed_.data(), rinv_.data(), inp, w + norm_, M, D);
        ops_.conv_forward(mixed_.data(), normed_.data(), start_history_.data(), w + conv_, lanes, length, D);
        ops_.matmul_forward(fvo_.data(), mixed_.data(), w + in_, M, 3 * R, D, false);
        ops_.scan_forward(y_.data(), a_.data(), s_.data(), fvo_.data(), w + bias_, start_state_.data(), lanes,
                          length, R);
        std::copy(inp, inp + static_cast<size_t>(M) * D, this->out_.begin());
        ops_.matmul_forward(this->out_.data(), y_.data(), w + out_weight_, M, D, R, true);
        keep_ends();
    }

    void backward(const T* w, T* g, T* dstream, const T* inp, Workspace<T>& space) override {
        int M = lanes_ * length_, D = width_, R = state_;
        T* small = space.reserve(space.a, static_cast<size_t>(M) * std::max(R, D));
        T* large = space.reserve(space.b, static_cast<size_t>(M) * std::max(3 * R, D));
        ops_.matmul_backward_weight(g + out_weight_, dstream, y_.data(), M, D, R);
        ops_.matmul_backward_input(small, dstream, w + out_weight_, M, D, R, false);
        ops_.scan_backward(large, g + bias_, small, fvo_.data(), a_.data(), s_.data(), start_state_.data(),
                           lanes_, length_, R);
        ops_.matmul_backward_weight(g + in_, large, mixed_.data(), M, 3 * R, D);
        ops_.matmul_backward_input(small, large, w + in_, M, 3 * R, D, false);
        ops_.conv_backward(large, g + conv_, small, normed_.data(), start_history_.data(), w + conv_, lanes_,
                           length_, D);
        ops_.rmsnorm_backward(dstream, g + norm_, large, inp, rinv_.data(), w + norm_, M, D);
    }

    std::vector<Carried<T>> carried() override {
        return {{&end_state_, state_}, {&end_history_, 2 * width_}};
    }

  private:
    void resize(int M) {
        size_t rows = static_cast<size_t>(M);
        rinv_.resize(rows);
        normed_.resize(rows * width_), mixed_.resize(rows * width_), this->out_.resize(rows * width_);
        fvo_.resize(rows * 3 * state_);
        a_.resize(rows * state_), s_.resize(rows * state_), y_.resize(rows * state_);
    }

    void keep_ends() {
        keep_history(end_history_, start_history_, normed_, lanes_, length_, width_);
        end_state_.resize(start_state_.size());
        for (int b = 0; b < lanes_; ++b) {
            size_t last = static_cast<size_t>(b + 1) * length_;
            std::copy_n(s_.begin() + (last - 1) * state_, state_,
                        end_state_.begin() + static_cast<size_t>(b) * state_);
        }
    }

    const Ops<T>& ops_;
    int width_, state_, lanes_ = 0, length_ = 0;
    size_t norm_, conv_, in_, bias_, out_weight_;
    std::vector<T> rinv_, normed_, mixed_, fvo_, a_, s_, y_;
    std::vector<T> start_state_, start_history_, end_state_, end_history_;
};

}  // namespace plm
