// The interface between sessions and models: a session deals with text, a network with bytes and logits, and
// it samples where the logits are. Another architecture is another Network; nothing else of inference
// changes.
#pragma once

#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "text/text.h"

namespace plm::infer {

constexpr int kBytes = 256;

struct VectorOps;  // the float code of an instruction set
class Sampler;
struct SampleRequest;

// The weights of a model, shared by all its sessions and never changed. Calls are made from many threads at
// once, each with states that no other thread uses.
class Network {
  public:
    // What a model remembers of one text.
    class State {
      public:
        explicit State(Encoding encoding) : text(encoding) {}
        virtual ~State() = default;
        virtual std::unique_ptr<State> clone() const = 0;

        // What a snapshot keeps of it, beside the bytes pending in `text`.
        virtual std::string save() const = 0;
        // Becomes what was saved, with `pending` as the text's open character. std::invalid_argument, and
        // nothing changed, for bytes that cannot have been saved.
        virtual void restore(const std::string& bytes, const TextCutter& pending) = 0;

        // The last bytes read, as many as the model still holds as such (pending ones among them).
        virtual std::string recent() const { return {}; }

        TextCutter text;  // moved on by the network, with every byte
    };

    virtual ~Network() = default;

    // The state of an empty text.
    virtual std::unique_ptr<State> begin() = 0;

    // Reads bytes. Unless it is null, bits[i] becomes the cost of byte i under the full softmax.
    // Throws std::domain_error where the model's output is not finite.
    virtual void read(State& state, const uint8_t* bytes, size_t size, double* bits) = 0;

    // Scores many texts, each as if it alone came next. `bits` gets the costs of all their bytes, text after
    // text. Throws as read does.
    virtual void score_each(const State& state, const std::vector<std::string_view>& texts, double* bits);

    // For many texts in one batch: logits[M][256] of what comes next, and reading bytes[m] in states[m].
    virtual void predict(float* logits, State* const states[], size_t M) = 0;
    virtual void advance(State* const states[], const uint8_t bytes[], size_t M) = 0;

    // Samples one or more bytes of the open character of many texts; these are still to be read.
    virtual void sample(SampleRequest requests[], size_t M);

    virtual const char* isa() const = 0;  // of the integer kernels
    virtual const VectorOps& vector_ops() const = 0;
    virtual Encoding encoding() const = 0;

    // Whether the model was trained with the end mark; without it, no text ends by itself.
    virtual bool has_marks() const = 0;
};

// What is to be sampled, and (from `count` on) what was.
struct SampleRequest {
    Network::State* state;
    Sampler* sampler;
    bool end_allowed, costs;
    int count = 0;  // bytes, with none after one that closes the character
    uint8_t bytes[4]{};
    double bits[4]{};  // where `costs` are asked for: bits of each under the full softmax
    // In place of bytes: std::domain_error where the model's output is not finite.
    std::exception_ptr error{};
};

// Working memory for as many threads as use it at once.
template <typename Scratch>
class ScratchPool {
  public:
    // Takes working memory on construction, made by `make` where none is idle, and gives it back at the end.
    class Lease {
      public:
        template <typename Make>
        Lease(ScratchPool& pool, Make make) : pool_(pool) {
            {
                const std::lock_guard<std::mutex> lock(pool.mutex_);
                if (!pool.idle_.empty()) {
                    scratch_ = std::move(pool.idle_.back());
                    pool.idle_.pop_back();
                }
            }
            if (!scratch_) scratch_ = make();
        }
        ~Lease() {
            const std::lock_guard<std::mutex> lock(pool_.mutex_);
            pool_.idle_.push_back(std::move(scratch_));
        }
        Lease(const Lease&) = delete;
        Lease& operator=(const Lease&) = delete;
        Scratch& operator*() { return *scratch_; }

      private:
        ScratchPool& pool_;
        std::unique_ptr<Scratch> scratch_;
    };

  private:
    std::mutex mutex_;
    std::vector<std::unique_ptr<Scratch>> idle_;
};

// The cost in bits of `byte` under these logits [256]. std::domain_error if that is not finite.
double cost_bits(const VectorOps& ops, const float* logits, uint8_t byte);

}  // namespace plm::infer
