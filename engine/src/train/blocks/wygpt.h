// The blocks of wyGPT (engine/src/infer/wygpt.h says where from): linear maps of the raw residual stream
// whose outputs are normalised, never their inputs. Three of them, a gated unit, attention and another gated
// unit, make one of its layers. His 1 / sqrt(inputs) after each matrix lies in the matrix here.
#pragma once
#include <algorithm>

#include "../parameters.h"
#include "block.h"

namespace plm::train {

// h = norm(in x); the two halves of h multiplied; x + out norm(that)
template <class T>
class WygptUnit : public Block<T> {
  public:
    WygptUnit(const Ops<T>& ops, const Config& config, const Parameters& parameters,
              const std::string& prefix)
        : Block<T>(ops), width_(config.width), heads_(config.heads) {
        in_ = parameters.offset(prefix + "in");
        out_weight_ = parameters.offset(prefix + "out");
    }

    void forward(const T* w, const T* inp, int B, int length) override {
        int M = rows_ = B * length, D = width_, r = D / heads_;
        size_t rows = static_cast<size_t>(M);
        h_.resize(rows * 2 * D), h_rinv_.resize(rows * 2 * heads_);
        p_.resize(rows * D), p_rinv_.resize(rows * heads_);
        ops_.matmul_forward(h_.data(), inp, w + in_, M, 2 * D, D, false);
        ops_.groupnorm_forward(h_.data(), h_rinv_.data(), h_.data(), M * 2 * heads_, r);
        ops_.bilinear_forward(p_.data(), h_.data(), M, D);
        ops_.groupnorm_forward(p_.data(), p_rinv_.data(), p_.data(), M * heads_, r);
        this->out_.copy(inp, rows * D);
        ops_.matmul_forward(this->out_.data(), p_.data(), w + out_weight_, M, D, D, true);
    }

    void backward(const T* w, T* g, T* dstream, const T* inp, Workspace<T>& space) override {
        int M = rows_, D = width_, r = D / heads_;
        T* dp = space.reserve(space.a, static_cast<size_t>(M) * D);
        T* dh = space.reserve(space.b, static_cast<size_t>(M) * 2 * D);
        ops_.matmul_backward_weight(g + out_weight_, dstream, p_.data(), M, D, D);
        ops_.matmul_backward_input(dp, dstream, w + out_weight_, M, D, D, false);
        ops_.groupnorm_backward(dp, dp, p_.data(), p_rinv_.data(), M * heads_, r);
        ops_.bilinear_backward(dh, dp, h_.data(), M, D);
        ops_.groupnorm_backward(dh, dh, h_.data(), h_rinv_.data(), M * 2 * heads_, r);
        ops_.matmul_backward_weight(g + in_, dh, inp, M, 2 * D, D);
        ops_.matmul_backward_input(dstream, dh, w + in_, M, 2 * D, D, true);
    }

  private:
    using Block<T>::ops_;
    int width_, heads_, rows_ = 0;
    size_t in_, out_weight_;
    Buffer<T> h_{ops_}, h_rinv_{ops_}, p_{ops_}, p_rinv_{ops_};
};

// h = norm(in x) holds k, q, v and a gate; x + out norm(gate * attention(q, k, v)). Keys and values are
// carried from window to window, as his inference does; his training began every window afresh.
template <class T>
class WygptAttention : public Block<T> {
  public:
    WygptAttention(const Ops<T>& ops, const Config& config, const Parameters& parameters,
                   const std::string& prefix)
        : Block<T>(ops), width_(config.width), r_(config.width / config.heads), window_(config.window) {
        in_ = parameters.offset(prefix + "in");
        bias_ = parameters.offset(prefix + "bias");
        out_weight_ = parameters.offset(prefix + "out");
        for (int j = 0; j < config.heads; ++j) heads_.emplace_back(ops);
    }

    void forward(const T* w, const T* inp, int B, int length) override {
        B_ = B, length_ = length;
        int M = B * length, D = width_, H = heads();
        size_t rows = static_cast<size_t>(M);
        h_.resize(rows * 4 * D), h_rinv_.resize(rows * 4 * H);
        z_.resize(rows * D), z_rinv_.resize(rows * H);
        space_.resize(static_cast<size_t>(window_ - 1 + length) * r_ * 6 + 4 * window_);
        ops_.matmul_forward(h_.data(), inp, w + in_, M, 4 * D, D, false);
        ops_.groupnorm_forward(h_.data(), h_rinv_.data(), h_.data(), M * 4 * H, r_);
        for (int j = 0; j < H; ++j) {
            attend(heads_[j], j, w + bias_ + static_cast<size_t>(j) * window_);
            for (size_t m = 0; m < rows; ++m) {
                const T *gate = h_.data() + m * 4 * D + 3 * D + j * r_, *y = heads_[j].y.data() + m * r_;
                for (int i = 0; i < r_; ++i) z_.data()[m * D + j * r_ + i] = y[i] * gate[i];
            }
        }
        ops_.groupnorm_forward(z_.data(), z_rinv_.data(), z_.data(), M * H, r_);
        this->out_.copy(inp, rows * D);
        ops_.matmul_forward(this->out_.data(), z_.data(), w + out_weight_, M, D, D, true);
    }

    void backward(const T* w, T* g, T* dstream, const T* inp, Workspace<T>& space) override {
        int M = B_ * length_, D = width_, H = heads();
        T* dz = space.reserve(space.a, static_cast<size_t>(M) * D);
        T* dh = space.reserve(space.b, static_cast<size_t>(M) * 4 * D);
        ops_.matmul_backward_weight(g + out_weight_, dstream, z_.data(), M, D, D);
        ops_.matmul_backward_input(dz, dstream, w + out_weight_, M, D, D, false);
        ops_.groupnorm_backward(dz, dz, z_.data(), z_rinv_.data(), M * H, r_);
        for (int j = 0; j < H; ++j) {
            attend_backward(dh, dz, g + bias_ + static_cast<size_t>(j) * window_, heads_[j], j);
        }
        ops_.groupnorm_backward(dh, dh, h_.data(), h_rinv_.data(), M * 4 * H, r_);
        ops_.matmul_backward_weight(g + in_, dh, inp, M, 4 * D, D);
        ops_.matmul_backward_input(dstream, dh, w + in_, M, 4 * D, D, true);
    }

    std::vector<Carried<T>> carried() override {
        std::vector<Carried<T>> all;
        for (Head& head : heads_) all.push_back({&head.end, (window_ - 1) * 2 * r_});
        return all;
    }

  private:
    struct Head {
        explicit Head(const Ops<T>& ops) : qkv(ops), y(ops), p(ops), start(ops), end(ops) {}
        Buffer<T> qkv, y, p;   // (M, 3 r), (M, r), (M, window)
        Buffer<T> start, end;  // (B, window - 1, 2 r): keys and values before and after the window
    };

    int heads() const { return static_cast<int>(heads_.size()); }

    void attend(Head& head, int j, const T* bias) {
        size_t rows = static_cast<size_t>(B_) * length_;
        int D = width_, kept = window_ - 1, kv = 2 * r_;
        head.qkv.resize(rows * 3 * r_), head.y.resize(rows * r_), head.p.resize(rows * window_);
        size_t states = static_cast<size_t>(B_) * kept * kv;
        if (head.end.size() != states) head.end.zero(states);
        head.start.swap(head.end);
        for (size_t m = 0; m < rows; ++m) {
            const T* from = h_.data() + m * 4 * D + j * r_;
            T* to = head.qkv.data() + m * 3 * r_;
            std::copy_n(from + D, r_, to), std::copy_n(from, r_, to + r_);
            std::copy_n(from + 2 * D, r_, to + 2 * r_);
        }
        // One head with keys and values of its own is the multi-query operator with a single query. It looks
        // at the zeros before a text too: their values add nothing, and the norm takes out the scale.
        ops_.attention_forward(head.y.data(), head.p.data(), head.qkv.data(), head.start.data(), bias,
                               space_.data(), B_, length_, 1, r_, window_);
        keep_last(head.end, head.start, head.qkv.data() + r_, B_, length_, kept, kv, 3 * r_);
    }

    // Sets head j's part of dh (M, 4 width) from dz (M, width).
    void attend_backward(T* dh, const T* dz, T* dbias, const Head& head, int j) {
        size_t rows = static_cast<size_t>(B_) * length_;
        int D = width_;
        dy_.resize(rows * r_), dqkv_.resize(rows * 3 * r_);
        for (size_t m = 0; m < rows; ++m) {
            const T *gate = h_.data() + m * 4 * D + 3 * D + j * r_, *d = dz + m * D + j * r_;
            T* dgate = dh + m * 4 * D + 3 * D + j * r_;
            for (int i = 0; i < r_; ++i) {
                dgate[i] = d[i] * head.y.data()[m * r_ + i];
                dy_.data()[m * r_ + i] = d[i] * gate[i];
            }
        }
        ops_.attention_backward(dqkv_.data(), dbias, dy_.data(), head.p.data(), head.qkv.data(),
                                head.start.data(), space_.data(), B_, length_, 1, r_, window_);
        for (size_t m = 0; m < rows; ++m) {
            const T* from = dqkv_.data() + m * 3 * r_;
            T* to = dh + m * 4 * D + j * r_;
            std::copy_n(from, r_, to + D), std::copy_n(from + r_, r_, to);
            std::copy_n(from + 2 * r_, r_, to + 2 * D);
        }
    }

    using Block<T>::ops_;
    int width_, r_, window_, B_ = 0, length_ = 0;
    size_t in_, bias_, out_weight_;
    std::vector<Head> heads_;
    Buffer<T> h_{ops_}, h_rinv_{ops_}, z_{ops_}, z_rinv_{ops_};
    Buffer<T> dy_{ops_}, dqkv_{ops_}, space_{ops_};
};

}  // namespace plm::train
