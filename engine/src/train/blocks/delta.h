// Gated delta rule (ops/delta.h), with the heads' state matrices carried from window to window. Its rates
// come from the convolution by a small matrix of their own.
#pragma once
#include "mixer.h"

namespace plm {

template <class T>
class Delta : public Mixer<T> {
  public:
    Delta(const Ops<T>& ops, const Config& c, const Parameters& parameters, const std::string& prefix)
        : Mixer<T>(ops, c, parameters, prefix, 4 * c.heads * c.head_size, c.heads * c.head_size,
                   c.heads * c.head_size * c.head_size),
          heads_(c.heads),
          d_(c.head_size),
          rates_weight_(parameters.offset(prefix + "rates")) {}

  private:
    size_t kept() const { return static_cast<size_t>((this->length_ + kDeltaChunk - 1) / kDeltaChunk + 1); }
    int rows() const { return this->lanes_ * this->length_; }

    void resize(int M) override {
        rates_.resize(static_cast<size_t>(M) * 2 * heads_), drates_.resize(rates_.size());
        states_.resize(this->lanes_ * kept() * this->state_size_);
        space_.resize(static_cast<size_t>(kDeltaChunk + 2) * d_ * d_);
    }

    void mix_forward(const T* w) override {
        this->ops_.matmul_forward(rates_.data(), this->mixed_.data(), w + rates_weight_, rows(), 2 * heads_,
                                  this->width_, false);
        this->ops_.delta_forward(this->y_.data(), states_.data(), this->joined_.data(), rates_.data(),
                                 w + this->bias_, this->start_state_.data(), this->lanes_, this->length_,
                                 heads_, d_);
    }

    void mix_backward(const T* w, T* g, T* djoined, const T* dy) override {
        this->ops_.delta_backward(djoined, drates_.data(), g + this->bias_, dy, states_.data(),
                                  this->joined_.data(), rates_.data(), w + this->bias_, space_.data(),
                                  this->lanes_, this->length_, heads_, d_);
    }

    void more_backward(const T* w, T* g, T* dmixed) override {
        this->ops_.matmul_backward_weight(g + rates_weight_, drates_.data(), this->mixed_.data(), rows(),
                                          2 * heads_, this->width_);
        this->ops_.matmul_backward_input(dmixed, drates_.data(), w + rates_weight_, rows(), 2 * heads_,
                                         this->width_, true);
    }

    void keep_state() override {
        size_t square = static_cast<size_t>(d_) * d_;
        for (int i = 0; i < this->lanes_ * heads_; ++i) {
            std::copy_n(states_.begin() + ((i + 1) * kept() - 1) * square, square,
                        this->end_state_.begin() + i * square);
        }
    }

    int heads_, d_;
    size_t rates_weight_;
    std::vector<T> rates_, drates_, states_, space_;
};

}  // namespace plm
