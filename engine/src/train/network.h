// The whole model over one shard of a batch: embeddings, trunk (a row per character), head (a row per byte),
// loss.
#pragma once
#include <memory>
#include <numeric>

#include "blocks/recurrence.h"
#include "blocks/swiglu.h"
#include "lanes.h"

namespace plm {

template <class T>
class Network {
  public:
    Network(const Ops<T>& ops, const Config& config, const Parameters& parameters)
        : ops_(ops), c_(config), p_(parameters) {
        for (int l = 0; l < c_.layers; ++l) {
            std::string layer = "layers." + std::to_string(l) + ".";
            recurrences_.push_back(new Recurrence<T>(ops, config, parameters, layer + "recurrence."));
            trunk_.emplace_back(recurrences_.back());
            trunk_.emplace_back(new Swiglu<T>(ops, c_.width, c_.hidden, parameters, layer + "swiglu."));
        }
        for (int i = 0; i < c_.head_layers; ++i) {
            head_.emplace_back(new Swiglu<T>(ops, c_.head_width, c_.head_hidden, parameters,
                                             "head.layers." + std::to_string(i) + "."));
        }
    }

    // Runs the batch; returns the sum of the bytes' losses in nats. losses() has them one by one.
    double forward(const T* w, const Batch& batch, int lanes, int length) {
        int M = lanes * length, D = c_.width;
        stream_.resize(static_cast<size_t>(M) * D);
        ops_.embedding_forward(stream_.data(), w + p_.offset("lead_embedding"), batch.lead.data(), M, D,
                               false);
        ops_.embedding_forward(stream_.data(), w + p_.offset("char_embedding"), batch.id.data(), M, D, true);
        const T* x = stream_.data();
        for (auto& block : trunk_) {
            block->forward(w, x, lanes, length);
            x = block->output();
        }
        forward_head(w, x, batch, M);
        return std::accumulate(losses_.begin(), losses_.end(), 0.0);
    }

    // Adds the gradient of scale * (sum of losses) to g.
    void backward(const T* w, T* g, const Batch& batch, T scale) {
        int M = static_cast<int>(batch.lead.size()), D = c_.width;
        dstream_.assign(static_cast<size_t>(M) * D, T(0));
        backward_head(w, g, batch, scale, M);
        for (size_t i = trunk_.size(); i-- > 0;) {
            const T* inp = i > 0 ? trunk_[i - 1]->output() : stream_.data();
            trunk_[i]->backward(w, g, dstream_.data(), inp, space_);
        }
        ops_.embedding_backward(g + p_.offset("lead_embedding"), dstream_.data(), batch.lead.data(), M, D);
        ops_.embedding_backward(g + p_.offset("char_embedding"), dstream_.data(), batch.id.data(), M, D);
    }

    const std::vector<T>& losses() const { return losses_; }
    std::vector<Recurrence<T>*>& recurrences() { return recurrences_; }
    void forget(int lane) {
        for (auto* r : recurrences_) r->forget(lane);
    }

  private:
    void forward_head(const T* w, const T* x, const Batch& batch, int M) {
        int N = static_cast<int>(batch.target.size()), D = c_.width, H = c_.head_width;
        size_t rows = static_cast<size_t>(M), bytes = static_cast<size_t>(N);
        top_.resize(rows * D), top_rinv_.resize(rows), base_.resize(rows * H);
        ops_.rmsnorm_forward(top_.data(), top_rinv_.data(), x, w + p_.offset("norm"), M, D);
        ops_.matmul_forward(base_.data(), top_.data(), w + p_.offset("head.base"), M, H, D, false);
        z_.resize(bytes * H), zn_.resize(bytes * H), z_rinv_.resize(bytes), logits_.resize(bytes * 256);
        losses_.resize(bytes);
        ops_.embedding_forward(z_.data(), base_.data(), batch.row.data(), N, H, false);
        ops_.embedding_forward(z_.data(), w + p_.offset("head.prefix_lead"), batch.prefix_lead.data(), N, H,
                               true);
        ops_.embedding_forward(z_.data(), w + p_.offset("head.prefix_pair"), batch.prefix_pair.data(), N, H,
                               true);
        const T* z = z_.data();
        for (auto& block : head_) {
            block->forward(w, z, N, 1);
            z = block->output();
        }
        ops_.rmsnorm_forward(zn_.data(), z_rinv_.data(), z, w + p_.offset("head.norm"), N, H);
        ops_.matmul_forward(logits_.data(), zn_.data(), w + p_.offset("head.out"), N, 256, H, false);
        ops_.cross_entropy_forward(losses_.data(), logits_.data(), batch.target.data(), N, 256);
    }

    void backward_head(const T* w, T* g, const Batch& batch, T scale, int M) {
        int N = static_cast<int>(batch.target.size()), D = c_.width, H = c_.head_width;
        T* dlogits = logits_.data();
        ops_.cross_entropy_backward(dlogits, logits_.data(), batch.target.data(), scale, N, 256);
        ops_.matmul_backward_weight(g + p_.offset("head.out"), dlogits, zn_.data(), N, 256, H);
        T* dzn = space_.reserve(space_.a, static_cast<size_t>(N) * H);
        ops_.matmul_backward_input(dzn, dlogits, w + p_.offset("head.out"), N, 256, H, false);
        dz_.assign(static_cast<size_t>(N) * H, T(0));
        ops_.rmsnorm_backward(dz_.data(), g + p_.offset("head.norm"), dzn, head_.back()->output(),
                              z_rinv_.data(), w + p_.offset("head.norm"), N, H);
        for (size_t i = head_.size(); i-- > 0;) {
            head_[i]->backward(w, g, dz_.data(), i > 0 ? head_[i - 1]->output() : z_.data(), space_);
        }
        ops_.embedding_backward(g + p_.offset("head.prefix_lead"), dz_.data(), batch.prefix_lead.data(), N,
                                H);
        ops_.embedding_backward(g + p_.offset("head.prefix_pair"), dz_.data(), batch.prefix_pair.data(), N,
                                H);
        dbase_.assign(static_cast<size_t>(M) * H, T(0));
        ops_.embedding_backward(dbase_.data(), dz_.data(), batch.row.data(), N, H);
        ops_.matmul_backward_weight(g + p_.offset("head.base"), dbase_.data(), top_.data(), M, H, D);
        T* dtop = space_.reserve(space_.a, static_cast<size_t>(M) * D);
        ops_.matmul_backward_input(dtop, dbase_.data(), w + p_.offset("head.base"), M, H, D, false);
        ops_.rmsnorm_backward(dstream_.data(), g + p_.offset("norm"), dtop, trunk_.back()->output(),
                              top_rinv_.data(), w + p_.offset("norm"), M, D);
    }

    const Ops<T>& ops_;
    Config c_;
    const Parameters& p_;
    std::vector<std::unique_ptr<Block<T>>> trunk_, head_;
    std::vector<Recurrence<T>*> recurrences_;  // owned by trunk_
    std::vector<T> stream_, top_, top_rinv_, base_, z_, zn_, z_rinv_, logits_, losses_, dstream_, dz_, dbase_;
    Workspace<T> space_;
};

}  // namespace plm
