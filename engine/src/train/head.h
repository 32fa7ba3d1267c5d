// From the trunk's view of all closed patches, and the bytes of the open one, to the next byte and its loss.
#pragma once
#include <memory>

#include "blocks/swiglu.h"
#include "sequence_reader.h"

namespace plm::train {

template <class T>
class Head {
  public:
    Head(const Ops<T>& ops, const Config& config, const Parameters& parameters)
        : Head(ops, config, parameters, config.head_layers) {}
    virtual ~Head() = default;

    // x (M, width): the trunk's output; embedded (M, embedding width): its input.
    virtual void forward(const T* w, const T* x, const T* embedded, const Batch& batch) {
        int M = static_cast<int>(batch.lead.size()), N = static_cast<int>(batch.target.size());
        int D = c_.width, H = c_.head_width, V = c_.views * H;
        size_t rows = static_cast<size_t>(M), bytes = static_cast<size_t>(N);
        top_.resize(rows * D), top_rinv_.resize(rows), base_.resize(rows * V);
        ops_.rmsnorm_forward(top_.data(), top_rinv_.data(), x, w + p_.offset("norm"), M, D);
        ops_.matmul_forward(base_.data(), top_.data(), w + p_.offset("head.base"), M, V, D, false);
        if (c_.skip) {
            ops_.matmul_forward(base_.data(), embedded, w + p_.offset("head.skip"), M, V,
                                c_.embedding_width(), true);
        }
        z_.resize(bytes * H), zn_.resize(bytes * H), z_rinv_.resize(bytes), logits_.resize(bytes * 256);
        losses_.resize(bytes);
        ops_.embedding_forward(z_.data(), base_.data(), batch.row.data(), N, H, false);
        each_table(batch, [&](const char* name, const std::vector<int>& ids) {
            ops_.embedding_forward(z_.data(), w + p_.offset(name), ids.data(), N, H, true);
        });
        const T* z = z_.data();
        for (auto& block : layers_) {
            block->forward(w, z, N, 1);
            z = block->output();
        }
        ops_.rmsnorm_forward(zn_.data(), z_rinv_.data(), z, w + p_.offset("head.norm"), N, H);
        ops_.matmul_forward(logits_.data(), zn_.data(), w + p_.offset("head.out"), N, 256, H, false);
        ops_.cross_entropy_forward(losses_.data(), logits_.data(), batch.target.data(), N, 256);
    }

    // Adds the gradient of scale * (sum of losses) to g and, at x, to dx.
    virtual void backward(const T* w, T* g, T* dx, const T* x, const T* embedded, const Batch& batch, T scale,
                          Workspace<T>& space) {
        int M = static_cast<int>(batch.lead.size()), N = static_cast<int>(batch.target.size());
        int D = c_.width, H = c_.head_width, V = c_.views * H, E = c_.embedding_width();
        T* dlogits = logits_.data();
        ops_.cross_entropy_backward(dlogits, logits_.data(), batch.target.data(), scale, N, 256);
        ops_.matmul_backward_weight(g + p_.offset("head.out"), dlogits, zn_.data(), N, 256, H);
        T* dzn = space.reserve(space.a, static_cast<size_t>(N) * H);
        ops_.matmul_backward_input(dzn, dlogits, w + p_.offset("head.out"), N, 256, H, false);
        dz_.zero(static_cast<size_t>(N) * H);
        ops_.rmsnorm_backward(dz_.data(), g + p_.offset("head.norm"), dzn, layers_.back()->output(),
                              z_rinv_.data(), w + p_.offset("head.norm"), N, H);
        for (size_t i = layers_.size(); i-- > 0;) {
            layers_[i]->backward(w, g, dz_.data(), i > 0 ? layers_[i - 1]->output() : z_.data(), space);
        }
        each_table(batch, [&](const char* name, const std::vector<int>& ids) {
            ops_.embedding_backward(g + p_.offset(name), dz_.data(), ids.data(), N, H);
        });
        dbase_.zero(static_cast<size_t>(M) * V);
        ops_.embedding_backward(dbase_.data(), dz_.data(), batch.row.data(), N, H);
        ops_.matmul_backward_weight(g + p_.offset("head.base"), dbase_.data(), top_.data(), M, V, D);
        T* dtop = space.reserve(space.a, static_cast<size_t>(M) * D);
        ops_.matmul_backward_input(dtop, dbase_.data(), w + p_.offset("head.base"), M, V, D, false);
        ops_.rmsnorm_backward(dx, g + p_.offset("norm"), dtop, x, top_rinv_.data(), w + p_.offset("norm"), M,
                              D);
        if (!c_.skip) return;
        dembedded_.resize(static_cast<size_t>(M) * E);
        ops_.matmul_backward_weight(g + p_.offset("head.skip"), dbase_.data(), embedded, M, V, E);
        ops_.matmul_backward_input(dembedded_.data(), dbase_.data(), w + p_.offset("head.skip"), M, V, E,
                                   false);
    }

    const Buffer<T>& losses() const { return losses_; }
    // The gradient that the embeddings get from the head, or nullptr.
    const T* dembedded() const { return c_.skip ? dembedded_.data() : nullptr; }

  protected:
    Head(const Ops<T>& ops, const Config& config, const Parameters& parameters, int layers)
        : ops_(ops), c_(config), p_(parameters) {
        for (int i = 0; i < layers; ++i) {
            layers_.emplace_back(new SwiGlu<T>(ops, c_.head_width, c_.head_hidden, parameters,
                                               "head.layers." + std::to_string(i) + "."));
        }
    }
    const Ops<T>& ops_;
    Buffer<T> losses_{ops_};

  private:
    template <class F>
    void each_table(const Batch& batch, F&& f) {
        if (c_.patch != PatchRule::kByte) {
            f("head.prefix_lead", batch.prefix_lead);
            f("head.prefix_pair", batch.prefix_pair);
        }
        if (c_.prefixes) f("head.prefix", batch.prefix), f("head.prefix", batch.suffix);
    }

    Config c_;
    const Parameters& p_;
    std::vector<std::unique_ptr<Block<T>>> layers_;
    Buffer<T> top_{ops_}, top_rinv_{ops_}, base_{ops_}, z_{ops_}, zn_{ops_}, z_rinv_{ops_}, logits_{ops_};
    Buffer<T> dz_{ops_}, dbase_{ops_}, dembedded_{ops_};
};

}  // namespace plm::train
