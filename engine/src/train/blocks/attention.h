// Attention over a window of patches (ops/attention.h), with the window's keys and values carried from one
// window of training to the next.
#pragma once
#include "mixer.h"

namespace plm::train {

template <class T>
class Attention : public Mixer<T> {
  public:
    Attention(const Ops<T>& ops, const Config& c, const Parameters& parameters, const std::string& prefix)
        : Mixer<T>(ops, c, parameters, prefix, (c.heads + 2) * c.head_size, c.heads * c.head_size,
                   (c.window - 1) * 2 * c.head_size),
          heads_(c.heads),
          d_(c.head_size),
          window_(c.window) {}

  private:
    void resize(int M) override {
        p_.resize(static_cast<size_t>(M) * heads_ * window_);
        space_.resize(static_cast<size_t>(window_ - 1 + this->length_) * d_ * 6 + 4 * window_);
    }

    void mix_forward(const T* w) override {
        this->ops_.attention_forward(this->y_.data(), p_.data(), this->joined_.data(),
                                     this->start_state_.data(), w + this->bias_, space_.data(), this->B_,
                                     this->length_, heads_, d_, window_);
    }

    void mix_backward(const T*, T* g, T* djoined, const T* dy) override {
        this->ops_.attention_backward(djoined, g + this->bias_, dy, p_.data(), this->joined_.data(),
                                      this->start_state_.data(), space_.data(), this->B_, this->length_,
                                      heads_, d_, window_);
    }

    // The keys and values of the last window - 1 patches, some of them perhaps from before this window.
    void keep_state() override {
        keep_last(this->end_state_, this->start_state_, this->joined_.data() + this->inner_width_, this->B_,
                  this->length_, window_ - 1, 2 * d_, this->joined_width_);
    }

    int heads_, d_, window_;
    Buffer<T> p_{this->ops_}, space_{this->ops_};
};

}  // namespace plm::train
