// A text being read or written: the model's state after its characters, and the bytes of the open one.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "sampling.h"
#include "step.h"
#include "utf8.h"
#include "weights.h"

namespace plm {

// Weights with working memory for as many threads as use them at once; shared by all sessions of a model.
class Network {
  public:
    explicit Network(Weights weights) : weights(std::move(weights)) {}

    // Takes working memory on construction and gives it back at the end.
    class Lease {
      public:
        explicit Lease(Network& network);
        ~Lease();
        Lease(const Lease&) = delete;
        Lease& operator=(const Lease&) = delete;
        Scratch& operator*() { return *scratch_; }

      private:
        Network& network_;
        std::unique_ptr<Scratch> scratch_;
    };

    const Weights weights;

  private:
    std::mutex mutex_;
    std::vector<std::unique_ptr<Scratch>> idle_;
};

class Session {
  public:
    // Begins with an end mark, as every text does.
    explicit Session(std::shared_ptr<Network> network);

    // Reads bytes. Unless it is null, bits[i] becomes the cost of byte i under the full softmax.
    // Throws std::domain_error where the model's output is not finite.
    void feed(const uint8_t* bytes, size_t size, double* bits);

    // Logits [256] of the next byte.
    void logits(float* out);

    // Writes one character: draws bytes until one is closed. An open character that was fed is completed, and
    // the whole of it counts as written. Returns false, and leaves the session as it was but for the
    // sampler's generator, where the character would take more than `room` new bytes.
    bool write(Sampler& sampler, bool end_allowed, int room, Character* out);

    // One byte each for many sessions of one network, in one batch; out[i] is what samplers[i] drew.
    static void write_bytes(const std::vector<Session*>& sessions, const std::vector<Sampler*>& samplers,
                            bool end_allowed, uint8_t* out);

    // Scores many texts, each as if it alone came next; the session stays where it is. `bits` gets the costs
    // of all their bytes, text after text. Throws as feed does.
    void score_each(const std::vector<std::string_view>& texts, double* bits);

    // For many sessions of one network, in one batch: reads bytes[i] in sessions[i]; the logits of what comes
    // next, [sessions][256].
    static void feed_bytes(const std::vector<Session*>& sessions, const uint8_t* bytes);
    static void logits_of(const std::vector<Session*>& sessions, float* out);

    // Another session at the same place.
    std::unique_ptr<Session> fork();

    // The state as floats, and the pending bytes. Restoring throws std::invalid_argument for what cannot be
    // one.
    std::vector<float> save(std::string* pending);
    void restore(const float* floats, size_t count, const std::string& pending);

  private:
    // Marks the session as in use; throws std::logic_error if it is already.
    class Use {
      public:
        explicit Use(Session& session);
        ~Use() { session_.busy_ = false; }
        Use(const Use&) = delete;
        Use& operator=(const Use&) = delete;

      private:
        Session& session_;
    };
    using Uses = std::vector<std::unique_ptr<Use>>;

    // A byte to be scored, and what is known before it.
    struct Target {
        Prefix prefix;
        uint8_t byte;
    };

    Session(std::shared_ptr<Network> network, const State& state, const Utf8Cutter& cutter)
        : network_(std::move(network)), state_(state), cutter_(cutter) {}

    // Marks all as in use; std::invalid_argument if they are of different models.
    static Uses use_all(const std::vector<Session*>& sessions);
    // bits[i] for targets[0..count).
    static void score(const Weights& weights, Scratch& scratch, const Target targets[], int count,
                      double* bits);

    size_t feed_chunk(Scratch& scratch, const uint8_t* bytes, size_t size, double* bits);
    void step_one(Scratch& scratch, const Character& character);
    Prefix prefix() { return {state_.base(), cutter_.prefix_lead(), cutter_.prefix_pair()}; }

    std::shared_ptr<Network> network_;
    State state_;
    Utf8Cutter cutter_;
    std::atomic<bool> busy_{false};
};

}  // namespace plm
