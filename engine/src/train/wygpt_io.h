// What wyGPT has below and above its blocks: computed embeddings of +1 and -1, and a norm and a matrix to the
// 256 bytes.
#pragma once
#include "../wygpt_hash.h"
#include "head.h"
#include "input.h"

namespace plm::train {

template <class T>
class WygptInput : public Input<T> {
  public:
    WygptInput(const Ops<T>& ops, const Config& config, const Parameters& parameters)
        : Input<T>(ops, config, parameters), ops_(ops), width_(config.width) {
        for (int byte = 0; byte < 256; ++byte)
            for (int i = 0; i < width_; ++i) table_.push_back(wygpt_sign(byte, i));
    }
    const T* forward(const T*, const Batch& batch) override {
        out_.resize(batch.lead.size() * width_);
        ops_.embedding_forward(out_.data(), table_.data(), batch.lead.data(),
                               static_cast<int>(batch.lead.size()), width_, false);
        return out_.data();
    }
    void backward(const T*, T*, const T*, const T*, const Batch&) override {}
    const T* output() const override { return out_.data(); }

  private:
    const Ops<T>& ops_;
    int width_;
    std::vector<T> table_;
    Buffer<T> out_{ops_};
};

template <class T>
class WygptHead : public Head<T> {
  public:
    WygptHead(const Ops<T>& ops, const Config& config, const Parameters& parameters)
        : Head<T>(ops, config, parameters, 0), width_(config.width), out_(parameters.offset("out")) {}

    void forward(const T* w, const T* x, const T*, const Batch& batch) override {
        int M = static_cast<int>(batch.lead.size()), N = static_cast<int>(batch.target.size());
        top_.resize(static_cast<size_t>(M) * width_), rinv_.resize(static_cast<size_t>(M));
        rows_.resize(static_cast<size_t>(N) * width_), logits_.resize(static_cast<size_t>(N) * 256);
        this->losses_.resize(static_cast<size_t>(N));
        ops_.groupnorm_forward(top_.data(), rinv_.data(), x, M, width_);
        ops_.embedding_forward(rows_.data(), top_.data(), batch.row.data(), N, width_, false);
        ops_.matmul_forward(logits_.data(), rows_.data(), w + out_, N, 256, width_, false);
        ops_.cross_entropy_forward(this->losses_.data(), logits_.data(), batch.target.data(), N, 256);
    }

    void backward(const T* w, T* g, T* dx, const T*, const T*, const Batch& batch, T scale,
                  Workspace<T>& space) override {
        int M = static_cast<int>(batch.lead.size()), N = static_cast<int>(batch.target.size());
        T* dlogits = logits_.data();
        ops_.cross_entropy_backward(dlogits, logits_.data(), batch.target.data(), scale, N, 256);
        ops_.matmul_backward_weight(g + out_, dlogits, rows_.data(), N, 256, width_);
        T* drows = space.reserve(space.a, static_cast<size_t>(N) * width_);
        ops_.matmul_backward_input(drows, dlogits, w + out_, N, 256, width_, false);
        ops_.embedding_backward(dx, drows, batch.row.data(), N, width_);
        ops_.groupnorm_backward(dx, dx, top_.data(), rinv_.data(), M, width_);
    }

  private:
    using Head<T>::ops_;
    int width_;
    size_t out_;
    Buffer<T> top_{ops_}, rinv_{ops_}, rows_{ops_}, logits_{ops_};
};

}  // namespace plm::train
