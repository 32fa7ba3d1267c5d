// Gated linear recurrence (ops/scan.h), with its state carried from window to window.
#pragma once
#include "mixer.h"

namespace plm::train {

template <class T>
class Recurrence : public Mixer<T> {
  public:
    Recurrence(const Ops<T>& ops, const Config& config, const Parameters& parameters,
               const std::string& prefix)
        : Mixer<T>(ops, config, parameters, prefix, 3 * config.state, config.state, config.state) {}

  private:
    void resize(int M) override {
        size_t size = static_cast<size_t>(M) * this->state_size_;
        a_.resize(size), s_.resize(size);
    }

    void mix_forward(const T* w) override {
        this->ops_.scan_forward(this->y_.data(), a_.data(), s_.data(), this->joined_.data(), w + this->bias_,
                                this->start_state_.data(), this->B_, this->length_, this->state_size_);
    }

    void mix_backward(const T*, T* g, T* djoined, const T* dy) override {
        this->ops_.scan_backward(djoined, g + this->bias_, dy, this->joined_.data(), a_.data(), s_.data(),
                                 this->start_state_.data(), this->B_, this->length_, this->state_size_);
    }

    void keep_state() override {
        int R = this->state_size_;
        keep_last(this->end_state_, this->start_state_, s_.data(), this->B_, this->length_, 1, R, R);
    }

    Buffer<T> a_{this->ops_}, s_{this->ops_};
};

}  // namespace plm::train
