// norm -> short convolution -> gated delta rule -> projection, with the heads' state matrices carried from
// window to window.
#pragma once
#include <algorithm>

#include "../parameters.h"
#include "block.h"

namespace plm {

template <class T>
class Delta : public Block<T> {
  public:
    Delta(const Ops<T>& ops, const Config& config, const Parameters& parameters, const std::string& prefix)
        : ops_(ops), width_(config.width), heads_(config.heads), d_(config.head_size) {
        norm_ = parameters.offset(prefix + "norm");
        conv_ = parameters.offset(prefix + "conv");
        in_ = parameters.offset(prefix + "in");
        rates_weight_ = parameters.offset(prefix + "rates");
        bias_ = parameters.offset(prefix + "bias");
        out_weight_ = parameters.offset(prefix + "out");
    }

    void forward(const T* w, const T* inp, int lanes, int length) override {
        lanes_ = lanes, length_ = length;
        int M = lanes * length, D = width_, Y = heads_ * d_;
        resize(M);
        start_state_ = end_state_, start_history_ = end_history_;
        start_state_.resize(static_cast<size_t>(lanes) * Y * d_);
        start_history_.resize(static_cast<size_t>(lanes) * 2 * D);
        ops_.rmsnorm_forward(normed_.data(), rinv_.data(), inp, w + norm_, M, D);
        ops_.conv_forward(mixed_.data(), normed_.data(), start_history_.data(), w + conv_, lanes, length, D);
        ops_.matmul_forward(qkvo_.data(), mixed_.data(), w + in_, M, 4 * Y, D, false);
        ops_.matmul_forward(rates_.data(), mixed_.data(), w + rates_weight_, M, 2 * heads_, D, false);
        ops_.delta_forward(y_.data(), states_.data(), qkvo_.data(), rates_.data(), w + bias_,
                           start_state_.data(), lanes, length, heads_, d_);
        std::copy(inp, inp + static_cast<size_t>(M) * D, this->out_.begin());
        ops_.matmul_forward(this->out_.data(), y_.data(), w + out_weight_, M, D, Y, true);
        keep_ends();
    }

    void backward(const T* w, T* g, T* dstream, const T* inp, Workspace<T>& space) override {
        int M = lanes_ * length_, D = width_, Y = heads_ * d_;
        T* small = space.reserve(space.a, static_cast<size_t>(M) * std::max(Y, D));
        T* large = space.reserve(space.b, static_cast<size_t>(M) * std::max(4 * Y, D));
        ops_.matmul_backward_weight(g + out_weight_, dstream, y_.data(), M, D, Y);
        ops_.matmul_backward_input(small, dstream, w + out_weight_, M, D, Y, false);
        ops_.delta_backward(large, drates_.data(), g + bias_, small, states_.data(), qkvo_.data(),
                            rates_.data(), w + bias_, space_.data(), lanes_, length_, heads_, d_);
        ops_.matmul_backward_weight(g + in_, large, mixed_.data(), M, 4 * Y, D);
        ops_.matmul_backward_weight(g + rates_weight_, drates_.data(), mixed_.data(), M, 2 * heads_, D);
        ops_.matmul_backward_input(small, large, w + in_, M, 4 * Y, D, false);
        ops_.matmul_backward_input(small, drates_.data(), w + rates_weight_, M, 2 * heads_, D, true);
        ops_.conv_backward(large, g + conv_, small, normed_.data(), start_history_.data(), w + conv_, lanes_,
                           length_, D);
        ops_.rmsnorm_backward(dstream, g + norm_, large, inp, rinv_.data(), w + norm_, M, D);
    }

    std::vector<Carried<T>> carried() override {
        return {{&end_state_, heads_ * d_ * d_}, {&end_history_, 2 * width_}};
    }

  private:
    size_t kept() const { return static_cast<size_t>((length_ + kDeltaChunk - 1) / kDeltaChunk + 1); }

    void resize(int M) {
        size_t rows = static_cast<size_t>(M), inner = static_cast<size_t>(heads_) * d_;
        rinv_.resize(rows);
        normed_.resize(rows * width_), mixed_.resize(rows * width_), this->out_.resize(rows * width_);
        qkvo_.resize(rows * 4 * inner), y_.resize(rows * inner);
        rates_.resize(rows * 2 * heads_), drates_.resize(rows * 2 * heads_);
        states_.resize(lanes_ * kept() * inner * d_);
        space_.resize(static_cast<size_t>(kDeltaChunk + 2) * d_ * d_);
    }

    void keep_ends() {
        keep_history(end_history_, start_history_, normed_, lanes_, length_, width_);
        end_state_.resize(start_state_.size());
        size_t square = static_cast<size_t>(d_) * d_;
        for (int i = 0; i < lanes_ * heads_; ++i) {
            std::copy_n(states_.begin() + ((i + 1) * kept() - 1) * square, square,
                        end_state_.begin() + i * square);
        }
    }

    const Ops<T>& ops_;
    int width_, heads_, d_, lanes_ = 0, length_ = 0;
    size_t norm_, conv_, in_, rates_weight_, bias_, out_weight_;
    std::vector<T> rinv_, normed_, mixed_, qkvo_, rates_, drates_, y_, states_, space_;
    std::vector<T> start_state_, start_history_, end_state_, end_history_;
};

}  // namespace plm
