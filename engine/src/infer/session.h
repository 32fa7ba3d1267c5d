// A text being read or written: the network's state, and which bytes may come next.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "network.h"

namespace plm::infer {

class Session {
  public:
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

    // Begins as every text of the network does.
    explicit Session(std::shared_ptr<Network> network);

    // Reads bytes. Unless it is null, bits[i] becomes the cost of byte i under the full softmax.
    // Throws std::domain_error where the model's output is not finite.
    void feed(const uint8_t* bytes, size_t size, double* bits);

    // Logits [256] of the next byte.
    void logits(float* out);

    // Scores many texts, each as if it alone came next; the session does not change. `bits` gets the costs
    // of all their bytes, text after text. Throws as feed does.
    void score_each(const std::vector<std::string_view>& texts, double* bits);

    // For many sessions of one network, in one batch: reads bytes[i] in sessions[i]; the logits of what comes
    // next, [sessions][256].
    static void feed_bytes(const std::vector<Session*>& sessions, const uint8_t* bytes);
    static void logits_of(const std::vector<Session*>& sessions, float* out);

    // Another session at the same place.
    std::unique_ptr<Session> fork();

    // The state, and the pending bytes. Restoring throws std::invalid_argument for what cannot be one.
    std::string save(std::string* pending);
    void restore(const std::string& state, const std::string& pending);

  private:
    friend class Generation;
    friend class BatchDecoder;
    friend class Stream;
    friend class Batcher;

    // Many sessions of one network, marked as in use; std::invalid_argument if they are of different ones.
    struct Batch {
        explicit Batch(const std::vector<Session*>& sessions);

        std::shared_ptr<Network> network;  // null if there are none
        std::vector<std::unique_ptr<Use>> uses;
        std::vector<Network::State*> states;
    };

    Session(std::shared_ptr<Network> network, std::unique_ptr<Network::State> state)
        : network_(std::move(network)), state_(std::move(state)) {}

    std::shared_ptr<Network> network_;
    std::unique_ptr<Network::State> state_;
    std::atomic<bool> busy_{false};
};

}  // namespace plm::infer
