// The whole model over one shard of a batch: embeddings, trunk (a row per character), head (a row per byte),
// loss.
#pragma once
#include <memory>
#include <numeric>
#include <stdexcept>

#include "blocks/attention.h"
#include "blocks/recurrence.h"
#include "blocks/swiglu.h"
#include "blocks/wygpt.h"
#include "wygpt_io.h"

namespace plm::train {

template <class T>
class Network {
  public:
    Network(const Ops<T>& ops, const Config& config, const Parameters& parameters)
        : input_(config.wygpt() ? new WygptInput<T>(ops, config, parameters)
                                : new Input<T>(ops, config, parameters)),
          head_(config.wygpt() ? new WygptHead<T>(ops, config, parameters)
                               : new Head<T>(ops, config, parameters)),
          width_(static_cast<size_t>(config.width)),
          dstream_(ops),
          space_(ops) {
        if (config.wygpt() && ops.memory->device)
            throw std::runtime_error("this architecture runs on the CPU alone");
        for (int l = 0; l < config.layers; ++l) add_layer(ops, config, parameters, l);
    }

    // Runs the batch; returns the sum of the bytes' losses in nats. losses() has them one by one.
    double forward(const T* w, const Batch& batch, int B, int length) {
        const T* x = input_->forward(w, batch);
        for (auto& block : trunk_) {
            block->forward(w, x, B, length);
            x = block->output();
        }
        head_->forward(w, x, input_->embedded(), batch);
        losses_.resize(head_->losses().size());
        head_->losses().read(losses_.data());
        return std::accumulate(losses_.begin(), losses_.end(), 0.0);
    }

    // Adds the gradient of scale * (sum of losses) to g.
    void backward(const T* w, T* g, const Batch& batch, T scale) {
        const T* top = trunk_.back()->output();
        dstream_.zero(batch.lead.size() * width_);
        head_->backward(w, g, dstream_.data(), top, input_->embedded(), batch, scale, space_);
        for (size_t i = trunk_.size(); i-- > 0;) {
            const T* inp = i > 0 ? trunk_[i - 1]->output() : input_->output();
            trunk_[i]->backward(w, g, dstream_.data(), inp, space_);
        }
        input_->backward(w, g, dstream_.data(), head_->dembedded(), batch);
    }

    const std::vector<T>& losses() const { return losses_; }
    std::vector<Carried<T>> carried() {
        std::vector<Carried<T>> all;
        for (auto& block : trunk_)
            for (const Carried<T>& c : block->carried()) all.push_back(c);
        return all;
    }
    void forget(int sequence) {
        for (auto& block : trunk_) block->forget(sequence);
    }

  private:
    void add_layer(const Ops<T>& ops, const Config& c, const Parameters& parameters, int l) {
        std::string layer = "layers." + std::to_string(l) + ".";
        switch (c.mixer(l)) {
            case 'w':
                trunk_.emplace_back(new WygptUnit<T>(ops, c, parameters, layer + "first."));
                trunk_.emplace_back(new WygptAttention<T>(ops, c, parameters, layer + "attention."));
                trunk_.emplace_back(new WygptUnit<T>(ops, c, parameters, layer + "second."));
                return;
            case 'a':
                trunk_.emplace_back(new Attention<T>(ops, c, parameters, layer + "attention."));
                break;
            default:
                trunk_.emplace_back(new Recurrence<T>(ops, c, parameters, layer + "recurrence."));
        }
        trunk_.emplace_back(new SwiGlu<T>(ops, c.width, c.hidden, parameters, layer + "swiglu."));
    }

    std::unique_ptr<Input<T>> input_;
    std::unique_ptr<Head<T>> head_;
    size_t width_;
    std::vector<std::unique_ptr<Block<T>>> trunk_;
    std::vector<T> losses_;
    Buffer<T> dstream_;
    Workspace<T> space_;
};

}  // namespace plm::train
