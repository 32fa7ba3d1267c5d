// What the trunk reads: for each patch the sum of its rows in the embedding tables, brought to the trunk's
// width.
#pragma once
#include "blocks/block.h"
#include "sequence_reader.h"

namespace plm::train {

template <class T>
class Input {
  public:
    Input(const Ops<T>& ops, const Config& config, const Parameters& parameters)
        : ops_(ops), c_(config), p_(parameters) {}
    virtual ~Input() = default;

    // Returns (M, width).
    virtual const T* forward(const T* w, const Batch& batch) {
        int M = static_cast<int>(batch.lead.size()), E = c_.embedding_width();
        embedded_.resize(static_cast<size_t>(M) * E);
        ops_.embedding_forward(embedded_.data(), w + p_.offset("lead_embedding"), batch.lead.data(), M, E,
                               false);
        each_table(batch, [&](const char* name, const std::vector<int>& ids) {
            ops_.embedding_forward(embedded_.data(), w + p_.offset(name), ids.data(), M, E, true);
        });
        if (int P = static_cast<int>(batch.piece.size())) {
            pieces_.resize(static_cast<size_t>(P) * E);
            ops_.embedding_forward(pieces_.data(), w + p_.offset("piece_embedding"), batch.piece.data(), P, E,
                                   false);
            ops_.embedding_backward(embedded_.data(), pieces_.data(), batch.piece_of.data(), P, E);
        }
        if (c_.embedding) {
            out_.resize(static_cast<size_t>(M) * c_.width);
            ops_.matmul_forward(out_.data(), embedded_.data(), w + p_.offset("input"), M, c_.width, E, false);
        }
        return output();
    }

    // dout (M, width); dembedded (M, embedding width) is what already came from elsewhere, or nullptr.
    virtual void backward(const T* w, T* g, const T* dout, const T* dembedded, const Batch& batch) {
        int M = static_cast<int>(batch.lead.size()), E = c_.embedding_width();
        size_t n = static_cast<size_t>(M) * E;
        if (dembedded) {
            dembedded_.copy(dembedded, n);
        } else {
            dembedded_.zero(n);
        }
        if (c_.embedding) {
            ops_.matmul_backward_weight(g + p_.offset("input"), dout, embedded_.data(), M, c_.width, E);
            ops_.matmul_backward_input(dembedded_.data(), dout, w + p_.offset("input"), M, c_.width, E, true);
        } else {
            ops_.add(dembedded_.data(), dout, n);
        }
        const T* d = dembedded_.data();
        ops_.embedding_backward(g + p_.offset("lead_embedding"), d, batch.lead.data(), M, E);
        each_table(batch, [&](const char* name, const std::vector<int>& ids) {
            ops_.embedding_backward(g + p_.offset(name), d, ids.data(), M, E);
        });
        if (int P = static_cast<int>(batch.piece.size())) {
            ops_.embedding_forward(pieces_.data(), d, batch.piece_of.data(), P, E, false);
            ops_.embedding_backward(g + p_.offset("piece_embedding"), pieces_.data(), batch.piece.data(), P,
                                    E);
        }
    }

    virtual const T* output() const { return c_.embedding ? out_.data() : embedded_.data(); }
    const T* embedded() const { return embedded_.data(); }

  private:
    template <class F>
    void each_table(const Batch& batch, F&& f) {
        f("char_embedding", batch.id);
        if (c_.bigrams) f("bigram_embedding", batch.bigram);
        if (c_.trigrams) f("trigram_embedding", batch.trigram);
    }

    const Ops<T>& ops_;
    Config c_;
    const Parameters& p_;
    Buffer<T> embedded_{ops_}, out_{ops_}, dembedded_{ops_}, pieces_{ops_};
};

}  // namespace plm::train
