// The whole model over one shard of a batch: embeddings, trunk (a row per character), head (a row per byte),
// loss.
#pragma once
#include <memory>
#include <numeric>

#include "blocks/attention.h"
#include "blocks/recurrence.h"
#include "blocks/swiglu.h"
#include "head.h"
#include "input.h"

namespace plm {

template <class T>
class Network {
  public:
    Network(const Ops<T>& ops, const Config& config, const Parameters& parameters)
        : input_(ops, config, parameters),
          head_(ops, config, parameters),
          width_(static_cast<size_t>(config.width)) {
        for (int l = 0; l < config.layers; ++l) {
            std::string layer = "layers." + std::to_string(l) + ".";
            if (config.attends(l)) {
                trunk_.emplace_back(new Attention<T>(ops, config, parameters, layer + "attention."));
            } else {
                trunk_.emplace_back(new Recurrence<T>(ops, config, parameters, layer + "recurrence."));
            }
            trunk_.emplace_back(
                new Swiglu<T>(ops, config.width, config.hidden, parameters, layer + "swiglu."));
        }
    }

    // Runs the batch; returns the sum of the bytes' losses in nats. losses() has them one by one.
    double forward(const T* w, const Batch& batch, int lanes, int length) {
        const T* x = input_.forward(w, batch);
        for (auto& block : trunk_) {
            block->forward(w, x, lanes, length);
            x = block->output();
        }
        head_.forward(w, x, input_.embedded(), batch);
        return std::accumulate(losses().begin(), losses().end(), 0.0);
    }

    // Adds the gradient of scale * (sum of losses) to g.
    void backward(const T* w, T* g, const Batch& batch, T scale) {
        const T* top = trunk_.back()->output();
        dstream_.assign(batch.lead.size() * width_, T(0));
        head_.backward(w, g, dstream_.data(), top, input_.embedded(), batch, scale, space_);
        for (size_t i = trunk_.size(); i-- > 0;) {
            const T* inp = i > 0 ? trunk_[i - 1]->output() : input_.output();
            trunk_[i]->backward(w, g, dstream_.data(), inp, space_);
        }
        input_.backward(w, g, dstream_.data(), head_.dembedded(), batch);
    }

    const std::vector<T>& losses() const { return head_.losses(); }
    std::vector<Carried<T>> carried() {
        std::vector<Carried<T>> all;
        for (auto& block : trunk_)
            for (const Carried<T>& c : block->carried()) all.push_back(c);
        return all;
    }
    void forget(int lane) {
        for (auto& block : trunk_) block->forget(lane);
    }

  private:
    Input<T> input_;
    Head<T> head_;
    size_t width_;
    std::vector<std::unique_ptr<Block<T>>> trunk_;
    std::vector<T> dstream_;
    Workspace<T> space_;
};

}  // namespace plm
