// norm -> short convolution -> attention over a window of characters -> projection, with the window's keys
// and values carried from one window of training to the next.
#pragma once
#include <algorithm>

#include "../parameters.h"
#include "block.h"

namespace plm {

template <class T>
class Attention : public Block<T> {
  public:
    Attention(const Ops<T>& ops, const Config& config, const Parameters& parameters,
              const std::string& prefix)
        : ops_(ops),
          width_(config.width),
          heads_(config.heads),
          d_(config.head_size),
          window_(config.window) {
        norm_ = parameters.offset(prefix + "norm");
        conv_ = parameters.offset(prefix + "conv");
        in_ = parameters.offset(prefix + "in");
        bias_ = parameters.offset(prefix + "bias");
        out_weight_ = parameters.offset(prefix + "out");
    }

    void forward(const T* w, const T* inp, int lanes, int length) override {
        lanes_ = lanes, length_ = length;
        int M = lanes * length, D = width_;
        resize(M);
        start_past_ = end_past_, start_history_ = end_history_;
        start_past_.resize(static_cast<size_t>(lanes) * (window_ - 1) * 2 * d_);
        start_history_.resize(static_cast<size_t>(lanes) * 2 * D);
        ops_.rmsnorm_forward(normed_.data(), rinv_.data(), inp, w + norm_, M, D);
        ops_.conv_forward(mixed_.data(), normed_.data(), start_history_.data(), w + conv_, lanes, length, D);
        ops_.matmul_forward(qkv_.data(), mixed_.data(), w + in_, M, row(), D, false);
        ops_.attention_forward(y_.data(), p_.data(), qkv_.data(), start_past_.data(), w + bias_,
                               space_.data(), lanes, length, heads_, d_, window_);
        std::copy(inp, inp + static_cast<size_t>(M) * D, this->out_.begin());
        ops_.matmul_forward(this->out_.data(), y_.data(), w + out_weight_, M, D, heads_ * d_, true);
        keep_ends();
    }

    void backward(const T* w, T* g, T* dstream, const T* inp, Workspace<T>& space) override {
        int M = lanes_ * length_, D = width_, Y = heads_ * d_;
        T* small = space.reserve(space.a, static_cast<size_t>(M) * std::max(Y, D));
        T* large = space.reserve(space.b, static_cast<size_t>(M) * std::max(row(), D));
        ops_.matmul_backward_weight(g + out_weight_, dstream, y_.data(), M, D, Y);
        ops_.matmul_backward_input(small, dstream, w + out_weight_, M, D, Y, false);
        ops_.attention_backward(large, g + bias_, small, p_.data(), qkv_.data(), start_past_.data(),
                                space_.data(), lanes_, length_, heads_, d_, window_);
        ops_.matmul_backward_weight(g + in_, large, mixed_.data(), M, row(), D);
        ops_.matmul_backward_input(small, large, w + in_, M, row(), D, false);
        ops_.conv_backward(large, g + conv_, small, normed_.data(), start_history_.data(), w + conv_, lanes_,
                           length_, D);
        ops_.rmsnorm_backward(dstream, g + norm_, large, inp, rinv_.data(), w + norm_, M, D);
    }

    std::vector<Carried<T>> carried() override {
        return {{&end_past_, (window_ - 1) * 2 * d_}, {&end_history_, 2 * width_}};
    }

  private:
    int row() const { return (heads_ + 2) * d_; }

    void resize(int M) {
        size_t rows = static_cast<size_t>(M);
        rinv_.resize(rows);
        normed_.resize(rows * width_), mixed_.resize(rows * width_), this->out_.resize(rows * width_);
        qkv_.resize(rows * row()), y_.resize(rows * heads_ * d_), p_.resize(rows * heads_ * window_);
        space_.resize(static_cast<size_t>(window_ - 1 + length_) * d_ * 6 + window_);
    }

    void keep_ends() {
        int kept = window_ - 1, kv = 2 * d_;
        keep_history(end_history_, start_history_, normed_, lanes_, length_, width_);
        end_past_.resize(start_past_.size());
        for (int b = 0; b < lanes_; ++b) {
            for (int j = 0; j < kept; ++j) {
                int t = length_ - kept + j;
                const T* from =
                    t >= 0 ? qkv_.data() + (static_cast<size_t>(b) * length_ + t) * row() + heads_ * d_
                           : start_past_.data() + (static_cast<size_t>(b) * kept + t + kept) * kv;
                std::copy_n(from, kv, end_past_.begin() + (static_cast<size_t>(b) * kept + j) * kv);
            }
        }
    }

    const Ops<T>& ops_;
    int width_, heads_, d_, window_, lanes_ = 0, length_ = 0;
    size_t norm_, conv_, in_, bias_, out_weight_;
    std::vector<T> rinv_, normed_, mixed_, qkv_, y_, p_, space_;
    std::vector<T> start_past_, start_history_, end_past_, end_history_;
};

}  // namespace plm
