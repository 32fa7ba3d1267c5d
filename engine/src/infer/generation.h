// A text that a session generates: the sampled bytes, the characters that may be handed out, the finish
// reason.
//
// A single text and a batch use the same code, BatchDecoder, which adds one character to each. Rows of a
// batch are independent (step.h), and each text has a sampler of its own, so a text does not depend on its
// batch.
#pragma once

#include <deque>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "sampling.h"
#include "session.h"
#include "text/stop_strings.h"

namespace plm::infer {

enum class FinishReason : uint8_t { kNone, kEnd, kStop, kLength, kCancelled, kDeadline, kError };

class Generation {
  public:
    // At most `max_bytes` bytes are written, the rest of an open character that was fed included. `costs`:
    // what each byte costs is wanted.
    Generation(std::shared_ptr<Session> session, Sampler sampler, int max_bytes, bool end_allowed,
               const std::vector<std::string>& stops, bool costs);

    // The next character that may be handed out, and its bits under the full softmax, 0 if costs are not
    // wanted. False if there is none, for now or, once there is a `finish_reason`, for ever.
    bool take(Character* out, double* bits);

    // Ends the text here; releases what was held back for a stop string.
    void end(FinishReason finish_reason);
    void fail(std::exception_ptr error);

    // Rewinds the session to before the first character that was not taken. To be called at the end.
    void close();

    FinishReason finish_reason() const { return finish_reason_; }
    // Of kError: std::domain_error where the model's output is not finite. The session has read the bytes
    // sampled before, which may end inside a character.
    std::exception_ptr error() const { return error_; }
    Session& session() const { return *session_; }

  private:
    friend class BatchDecoder;
    enum class Sampled { kNothing, kByte, kCharacter };  // the text ends; more follow; the last one
    struct Written {
        Character character;
        double bits;
    };

    Network::State& state() const { return *session_->state_; }
    bool begin();  // a character; false if the text ends before it
    SampleRequest next() { return {&state(), &sampler_, end_allowed_, costs_}; }
    Sampled take_byte(uint8_t byte, double bits);  // a sampled one
    void finish();                                 // the character, once its bytes have been read

    std::shared_ptr<Session> session_;
    Sampler sampler_;
    int bytes_left_;
    const bool end_allowed_, costs_;
    StopStrings stops_;
    bool begun_ = false;
    FinishReason finish_reason_ = FinishReason::kNone;
    std::exception_ptr error_;

    // The character being sampled.
    int given_ = 0;  // bytes of it that were fed
    Written next_{};
    std::unique_ptr<Network::State> before_;

    std::deque<Written> written_;  // and not taken yet
    size_t free_ = 0;              // how many of them may be taken
    // With stop strings: the state before each of them, and before those that are part of a stop string.
    std::deque<std::unique_ptr<Network::State>> ahead_;
};

// Generates texts of one network in a batch, and keeps the memory for that. One call at a time.
class BatchDecoder {
  public:
    // Adds one character to each text that has not ended; an error ends only the text that it occurs in. The
    // caller holds a Session::Use of each session.
    void run(const std::vector<Generation*>& generations);

  private:
    // Bytes to be read together.
    struct Bytes {
        std::vector<Network::State*> states;
        std::vector<uint8_t> bytes;
        void add(Network::State& state, uint8_t byte) { states.push_back(&state), bytes.push_back(byte); }
        void read(Network& network);
    };
    void take(const SampleRequest& request, int byte, Generation*& generation);

    std::vector<Generation*> open_, closed_;
    std::vector<SampleRequest> requests_;
    Bytes inner_, last_;
};

}  // namespace plm::infer
