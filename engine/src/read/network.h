// The reader: characters of a question and of passages in, how likely each character of a passage is to be
// the first and the last of the answer out. The passages' characters look at the question's twice, by their
// embeddings and half-way up; between lie the gated recurrences of the language model, every other one over
// the reversed text.
#pragma once
#include <memory>

#include "attention.h"
#include "spans.h"
#include "splitmix.h"
#include "train/blocks/recurrence.h"
#include "train/blocks/swiglu.h"

namespace plm::read {

using train::Buffer;
using train::Ops;
using train::Parameters;
using train::Workspace;

// What training leaves out at random: a share of the embeddings' numbers and of the stream's half-way up.
struct Dropout {
    float share = 0;
    SplitMix64 random{0};
};

template <class T>
class Network {
  public:
    Network(const Ops<T>& ops, const ReaderConfig& config, const Parameters& parameters)
        : ops_(ops), c_(config), p_(parameters), space_(ops) {
        const Config blocks = block_config(config);
        for (int l = 0; l < config.layers; ++l) {
            const std::string layer = "layers." + std::to_string(l) + ".";
            layers_.emplace_back(
                Layer{std::make_unique<train::Recurrence<T>>(ops, blocks, parameters, layer + "recurrence."),
                      std::make_unique<train::SwiGlu<T>>(ops, config.width, config.hidden, parameters,
                                                         layer + "swiglu."),
                      Buffer<T>(ops), Buffer<T>(ops)});
        }
        align_attention_.K = align_attention_.V = config.embedding;
        align_attention_.scale = T(1) / std::sqrt(T(config.embedding));
        question_attention_.K = config.keys, question_attention_.V = config.width;
        question_attention_.scale = T(1) / std::sqrt(T(config.keys));
    }

    // The distributions over the spans of each question; the batch must live as long as they do.
    std::vector<SpanDistribution<T>> forward(const T* w, const Batch& batch, Dropout* dropout = nullptr) {
        N_ = batch.sequences(), L_ = batch.length, M_ = N_ * L_, asked_ = batch.questions * L_;
        embed(w, batch, dropout);
        const T* x = x0_.data();
        for (int l = 0; l < c_.layers; ++l) {
            if (l == c_.layers / 2) x = ask(w, x, batch, dropout);
            x = layer_forward(w, x, l, batch);
        }
        top_ = x;
        point(w, batch);
        std::vector<SpanDistribution<T>> all;
        for (int q = 0; q < batch.questions; ++q) all.push_back(distribution(w, batch, q));
        return all;
    }

    // Adds scale times the gradient of the sum of losses to g; returns that sum in nats. After forward.
    double backward(const T* w, T* g, const Batch& batch, const std::vector<SpanDistribution<T>>& spans,
                    double scale) {
        const size_t rows = static_cast<size_t>(M_ - asked_);
        first_grad_.zero(rows), last_grad_.zero(rows);
        double loss = 0, dnothing = 0;
        for (int q = 0; q < batch.questions; ++q) {
            std::vector<std::pair<T*, T*>> grads;
            std::vector<Span> answers;
            int base = -1;
            for (int p = 0; p < batch.passages(); ++p) {
                if (batch.owner[size_t(p)] != q) continue;
                if (base < 0) base = p;
                grads.emplace_back(first_grad_.data() + size_t(p) * size_t(L_),
                                   last_grad_.data() + size_t(p) * size_t(L_));
            }
            for (Span s : batch.answers[size_t(q)]) s.passage -= base, answers.push_back(s);
            if (answers.empty() && batch.answerable[size_t(q)]) continue;  // its answer is longer than a span
            loss += spans[size_t(q)].loss(answers, scale, grads, &dnothing);
        }
        g[p_.offset("nothing")] += T(dnothing);
        dstream_.zero(static_cast<size_t>(M_) * D());
        point_backward(w, g, batch);
        for (int l = c_.layers; l-- > 0;) {
            layer_backward(w, g, l, batch);
            if (l == c_.layers / 2) ask_backward(w, g, batch);
        }
        embed_backward(w, g, batch);
        return loss;
    }

  private:
    struct Layer {
        std::unique_ptr<train::Recurrence<T>> recurrence;
        std::unique_ptr<train::SwiGlu<T>> swiglu;
        Buffer<T> in, out;  // the text as the layer reads it, and its result the right way round
    };

    int D() const { return c_.width; }
    int E() const { return c_.embedding; }
    int joined() const { return 2 * c_.embedding + kReaderFeatures; }

    // ---- the input: embeddings, what of the question each character is like, features

    void embed(const T* w, const Batch& b, Dropout* dropout) {
        const size_t rows = static_cast<size_t>(M_), F = static_cast<size_t>(joined());
        embedded_.resize(rows * E()), keys_.resize(rows * E()), joined_.zero(rows * F);
        ops_.embedding_forward(embedded_.data(), w + p_.offset("characters"), b.ids.data(), M_, E(), false);
        ops_.embedding_forward(embedded_.data(), w + p_.offset("bigrams"), b.bigrams.data(), M_, E(), true);
        drop(embedded_, embedded_mask_, rows * E(), dropout);
        ops_.matmul_forward(keys_.data(), embedded_.data(), w + p_.offset("align"), M_, E(), E(), false);
        for (size_t i = 0; i < rows * E(); ++i) keys_.data()[i] = std::max(keys_.data()[i], T(0));
        T* j = joined_.data();
        for (size_t m = 0; m < rows; ++m) {
            std::copy_n(embedded_.data() + m * E(), E(), j + m * F);
            for (int f = 0; f < kReaderFeatures; ++f)
                j[m * F + 2 * E() + f] = T(b.features[m * kReaderFeatures + f]);
        }
        align_attention_.forward(j + size_t(asked_) * F + E(), joined(), keys_.data() + size_t(asked_) * E(),
                                 keys_.data(), embedded_.data(), E(), b);
        x0_.resize(rows * D());
        ops_.matmul_forward(x0_.data(), j, w + p_.offset("input"), M_, D(), joined(), false);
    }

    void embed_backward(const T* w, T* g, const Batch& b) {
        const size_t rows = static_cast<size_t>(M_), F = static_cast<size_t>(joined()), n = rows * E();
        ops_.matmul_backward_weight(g + p_.offset("input"), dstream_.data(), joined_.data(), M_, D(),
                                    joined());
        djoined_.resize(rows * F), dembedded_.resize(n), dkeys_.zero(n);
        ops_.matmul_backward_input(djoined_.data(), dstream_.data(), w + p_.offset("input"), M_, D(),
                                   joined(), false);
        for (size_t m = 0; m < rows; ++m)
            std::copy_n(djoined_.data() + m * F, E(), dembedded_.data() + m * E());
        align_attention_.backward(dkeys_.data() + size_t(asked_) * E(), dkeys_.data(), dembedded_.data(),
                                  djoined_.data() + size_t(asked_) * F + E(), joined(),
                                  keys_.data() + size_t(asked_) * E(), keys_.data(), embedded_.data(), E(),
                                  b);
        for (size_t i = 0; i < n; ++i)
            if (keys_.data()[i] <= T(0)) dkeys_.data()[i] = 0;
        ops_.matmul_backward_weight(g + p_.offset("align"), dkeys_.data(), embedded_.data(), M_, E(), E());
        ops_.matmul_backward_input(dembedded_.data(), dkeys_.data(), w + p_.offset("align"), M_, E(), E(),
                                   true);
        undrop(dembedded_, embedded_mask_);
        ops_.embedding_backward(g + p_.offset("characters"), dembedded_.data(), b.ids.data(), M_, E());
        ops_.embedding_backward(g + p_.offset("bigrams"), dembedded_.data(), b.bigrams.data(), M_, E());
    }

    // ---- a layer, over the reversed text where its number is odd

    const T* layer_forward(const T* w, const T* x, int l, const Batch& b) {
        Layer& layer = layers_[size_t(l)];
        const size_t n = static_cast<size_t>(M_) * D();
        layer.in.resize(n);
        if (l % 2) {
            ops_.embedding_forward(layer.in.data(), x, b.reversed.data(), M_, D(), false);
        } else {
            std::copy_n(x, n, layer.in.data());
        }
        for (const train::Carried<T>& c : layer.recurrence->carried())
            c.values->zero(static_cast<size_t>(N_) * c.per_sequence);
        layer.recurrence->forward(w, layer.in.data(), N_, L_);
        layer.swiglu->forward(w, layer.recurrence->output(), N_, L_);
        if (!(l % 2)) return layer.swiglu->output();
        layer.out.resize(n);
        ops_.embedding_forward(layer.out.data(), layer.swiglu->output(), b.reversed.data(), M_, D(), false);
        return layer.out.data();
    }

    // Reversing is its own inverse, so gradients go back as the rows went.
    void layer_backward(const T* w, T* g, int l, const Batch& b) {
        Layer& layer = layers_[size_t(l)];
        if (l % 2) reverse_gradient(b);
        layer.swiglu->backward(w, g, dstream_.data(), layer.recurrence->output(), space_);
        layer.recurrence->backward(w, g, dstream_.data(), layer.in.data(), space_);
        if (l % 2) reverse_gradient(b);
    }

    void reverse_gradient(const Batch& b) {
        turned_.resize(static_cast<size_t>(M_) * D());
        ops_.embedding_forward(turned_.data(), dstream_.data(), b.reversed.data(), M_, D(), false);
        dstream_.swap(turned_);
    }

    // ---- half-way up: the passages look at the question

    const T* ask(const T* w, const T* x, const Batch& b, Dropout* dropout) {
        const size_t n = static_cast<size_t>(M_) * D();
        const int read = M_ - asked_, K = c_.keys;
        below_ = x;
        normed_.resize(n), rinv_.resize(size_t(M_)), asked_x_.copy(x, n);
        ops_.rmsnorm_forward(normed_.data(), rinv_.data(), x, w + p_.offset("question.norm"), M_, D());
        const T* passages = normed_.data() + size_t(asked_) * D();
        query_.resize(size_t(read) * K), key_.resize(size_t(asked_) * K), value_.resize(size_t(asked_) * D());
        answer_.resize(size_t(read) * D());
        ops_.matmul_forward(query_.data(), passages, w + p_.offset("question.query"), read, K, D(), false);
        ops_.matmul_forward(key_.data(), normed_.data(), w + p_.offset("question.key"), asked_, K, D(),
                            false);
        ops_.matmul_forward(value_.data(), normed_.data(), w + p_.offset("question.value"), asked_, D(), D(),
                            false);
        question_attention_.forward(answer_.data(), D(), query_.data(), key_.data(), value_.data(), D(), b);
        ops_.matmul_forward(asked_x_.data() + size_t(asked_) * D(), answer_.data(),
                            w + p_.offset("question.out"), read, D(), D(), true);
        drop(asked_x_, stream_mask_, n, dropout);
        return asked_x_.data();
    }

    void ask_backward(const T* w, T* g, const Batch& b) {
        const int read = M_ - asked_, K = c_.keys;
        undrop(dstream_, stream_mask_);
        const T *dout = dstream_.data() + size_t(asked_) * D(),
                *passages = normed_.data() + size_t(asked_) * D();
        danswer_.resize(size_t(read) * D()), dquery_.resize(size_t(read) * K);
        dkey_.zero(size_t(asked_) * K), dvalue_.zero(size_t(asked_) * D());
        dnormed_.resize(static_cast<size_t>(M_) * D());
        ops_.matmul_backward_weight(g + p_.offset("question.out"), dout, answer_.data(), read, D(), D());
        ops_.matmul_backward_input(danswer_.data(), dout, w + p_.offset("question.out"), read, D(), D(),
                                   false);
        question_attention_.backward(dquery_.data(), dkey_.data(), dvalue_.data(), danswer_.data(), D(),
                                     query_.data(), key_.data(), value_.data(), D(), b);
        ops_.matmul_backward_weight(g + p_.offset("question.query"), dquery_.data(), passages, read, K, D());
        ops_.matmul_backward_weight(g + p_.offset("question.key"), dkey_.data(), normed_.data(), asked_, K,
                                    D());
        ops_.matmul_backward_weight(g + p_.offset("question.value"), dvalue_.data(), normed_.data(), asked_,
                                    D(), D());
        T *of_question = dnormed_.data(), *of_passages = of_question + size_t(asked_) * D();
        ops_.matmul_backward_input(of_passages, dquery_.data(), w + p_.offset("question.query"), read, K, D(),
                                   false);
        ops_.matmul_backward_input(of_question, dkey_.data(), w + p_.offset("question.key"), asked_, K, D(),
                                   false);
        ops_.matmul_backward_input(of_question, dvalue_.data(), w + p_.offset("question.value"), asked_, D(),
                                   D(), true);
        ops_.rmsnorm_backward(dstream_.data(), g + p_.offset("question.norm"), dnormed_.data(), below_,
                              rinv_.data(), w + p_.offset("question.norm"), M_, D());
    }

    // ---- the ends: a pooled question points at the passages' characters

    void point(const T* w, const Batch& b) {
        const size_t n = static_cast<size_t>(M_) * D(), Q = static_cast<size_t>(b.questions);
        last_normed_.resize(n), last_rinv_.resize(size_t(M_));
        ops_.rmsnorm_forward(last_normed_.data(), last_rinv_.data(), top_, w + p_.offset("norm"), M_, D());
        pooled_.zero(Q * D()), pool_shares_.assign(size_t(asked_), T(0));
        const T* pool = w + p_.offset("pool");
        for (size_t q = 0; q < Q; ++q) {
            const T* rows = last_normed_.data() + q * size_t(L_) * D();
            T* share = pool_shares_.data() + q * size_t(L_);
            for (int t = 0; t < b.sizes[q]; ++t) share[t] = dot(rows + size_t(t) * D(), pool, D());
            softmax(share, b.sizes[q]);
            for (int t = 0; t < b.sizes[q]; ++t)
                add_scaled(pooled_.data() + q * D(), share[t], rows + size_t(t) * D(), D());
        }
        end_forward(w, b, "first", first_pointer_, first_);
        end_forward(w, b, "last", last_pointer_, last_);
    }

    T pointer_scale() const { return T(1) / std::sqrt(T(D())); }

    void end_forward(const T* w, const Batch& b, const std::string& end, Buffer<T>& pointer,
                     Buffer<T>& logits) {
        const size_t Q = static_cast<size_t>(b.questions), L = static_cast<size_t>(L_);
        pointer.resize(Q * D()), logits.zero(static_cast<size_t>(M_ - asked_));
        ops_.matmul_forward(pointer.data(), pooled_.data(), w + p_.offset(end + ".question"), b.questions,
                            D(), D(), false);
        const T* bias = w + p_.offset(end + ".bias");
        for (size_t q = 0; q < Q; ++q)
            for (int d = 0; d < D(); ++d)
                pointer.data()[q * D() + d] = pointer.data()[q * D() + d] * pointer_scale() + bias[d];
        const T* rows = last_normed_.data() + size_t(asked_) * D();
        for (size_t p = 0; p < size_t(b.passages()); ++p)
            for (size_t t = 0; t < size_t(b.sizes[Q + p]); ++t)
                logits.data()[p * L + t] =
                    dot(rows + (p * L + t) * D(), pointer.data() + size_t(b.owner[p]) * D(), D());
    }

    void point_backward(const T* w, T* g, const Batch& b) {
        const size_t Q = static_cast<size_t>(b.questions);
        dlast_normed_.zero(static_cast<size_t>(M_) * D()), dpooled_.zero(Q * D());
        end_backward(w, g, b, "first", first_pointer_, first_grad_);
        end_backward(w, g, b, "last", last_pointer_, last_grad_);
        const T* pool = w + p_.offset("pool");
        T* dpool = g + p_.offset("pool");
        for (size_t q = 0; q < Q; ++q) {
            const T *rows = last_normed_.data() + q * size_t(L_) * D(),
                    *share = pool_shares_.data() + q * size_t(L_);
            const T* d = dpooled_.data() + q * D();
            T* drows = dlast_normed_.data() + q * size_t(L_) * D();
            T sum = 0;
            for (int t = 0; t < b.sizes[q]; ++t) sum += share[t] * dot(d, rows + size_t(t) * D(), D());
            for (int t = 0; t < b.sizes[q]; ++t) {
                const T* row = rows + size_t(t) * D();
                const T dshare = share[t] * (dot(d, row, D()) - sum);
                add_scaled(drows + size_t(t) * D(), share[t], d, D());
                add_scaled(drows + size_t(t) * D(), dshare, pool, D());
                add_scaled(dpool, dshare, row, D());
            }
        }
        ops_.rmsnorm_backward(dstream_.data(), g + p_.offset("norm"), dlast_normed_.data(), top_,
                              last_rinv_.data(), w + p_.offset("norm"), M_, D());
    }

    void end_backward(const T* w, T* g, const Batch& b, const std::string& end, const Buffer<T>& pointer,
                      const Buffer<T>& dlogits) {
        const size_t Q = static_cast<size_t>(b.questions), L = static_cast<size_t>(L_);
        dpointer_.zero(Q * D());
        const T* rows = last_normed_.data() + size_t(asked_) * D();
        T* drows = dlast_normed_.data() + size_t(asked_) * D();
        for (size_t p = 0; p < size_t(b.passages()); ++p) {
            const size_t q = size_t(b.owner[p]);
            for (size_t t = 0; t < size_t(b.sizes[Q + p]); ++t) {
                const T d = dlogits.data()[p * L + t];
                add_scaled(drows + (p * L + t) * D(), d, pointer.data() + q * D(), D());
                add_scaled(dpointer_.data() + q * D(), d, rows + (p * L + t) * D(), D());
            }
        }
        T* dbias = g + p_.offset(end + ".bias");
        for (size_t q = 0; q < Q; ++q) add_scaled(dbias, T(1), dpointer_.data() + q * D(), D());
        for (size_t i = 0; i < Q * D(); ++i) dpointer_.data()[i] *= pointer_scale();
        ops_.matmul_backward_weight(g + p_.offset(end + ".question"), dpointer_.data(), pooled_.data(),
                                    b.questions, D(), D());
        ops_.matmul_backward_input(dpooled_.data(), dpointer_.data(), w + p_.offset(end + ".question"),
                                   b.questions, D(), D(), true);
    }

    SpanDistribution<T> distribution(const T* w, const Batch& b, int question) const {
        std::vector<SpanRows<T>> rows;
        for (int p = 0; p < b.passages(); ++p) {
            if (b.owner[size_t(p)] != question) continue;
            const size_t at = size_t(p) * size_t(L_);
            rows.push_back({first_.data() + at, last_.data() + at, b.begin[size_t(p)],
                            b.sizes[size_t(b.questions + p)]});
        }
        return SpanDistribution<T>(std::move(rows), w[p_.offset("nothing")], c_.longest);
    }

    // ---- dropout: numbers that stay are scaled up, so that sums stay what they are on average

    void drop(Buffer<T>& x, std::vector<T>& mask, size_t n, Dropout* dropout) {
        mask.clear();
        if (!dropout || dropout->share <= 0) return;
        mask.resize(n);
        const T kept = T(1) / (T(1) - T(dropout->share));
        const auto limit = static_cast<uint32_t>(dropout->share * 65536.0f);
        for (size_t i = 0; i < n; i += 4) {
            uint64_t bits = dropout->random.next();
            for (size_t k = i; k < std::min(n, i + 4); ++k, bits >>= 16)
                mask[k] = (bits & 0xFFFF) < limit ? T(0) : kept;
        }
        undrop(x, mask);
    }
    static void undrop(Buffer<T>& x, const std::vector<T>& mask) {
        for (size_t i = 0; i < mask.size(); ++i) x.data()[i] *= mask[i];
    }

    const Ops<T>& ops_;
    ReaderConfig c_;
    const Parameters& p_;
    std::vector<Layer> layers_;
    QuestionAttention<T> align_attention_{}, question_attention_{};
    int N_ = 0, L_ = 0, M_ = 0, asked_ = 0;  // sequences, their length, rows; rows of the questions
    const T *below_ = nullptr, *top_ = nullptr;
    std::vector<T> embedded_mask_, stream_mask_, pool_shares_;
    Buffer<T> embedded_{ops_}, keys_{ops_}, joined_{ops_}, x0_{ops_}, dembedded_{ops_}, dkeys_{ops_},
        djoined_{ops_};
    Buffer<T> normed_{ops_}, rinv_{ops_}, asked_x_{ops_}, query_{ops_}, key_{ops_}, value_{ops_},
        answer_{ops_};
    Buffer<T> dquery_{ops_}, dkey_{ops_}, dvalue_{ops_}, danswer_{ops_}, dnormed_{ops_};
    Buffer<T> last_normed_{ops_}, last_rinv_{ops_}, pooled_{ops_}, first_pointer_{ops_}, last_pointer_{ops_};
    Buffer<T> first_{ops_}, last_{ops_}, first_grad_{ops_}, last_grad_{ops_};
    Buffer<T> dlast_normed_{ops_}, dpooled_{ops_}, dpointer_{ops_}, dstream_{ops_}, turned_{ops_};
    Workspace<T> space_;
};

}  // namespace plm::read
