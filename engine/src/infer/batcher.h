// Many texts at once, each joining and leaving at any character (continuous batching; Yu et al., "Orca",
// 2022).
//
// Each worker thread has texts of its own and goes decoder: a piece of a prompt that is still to be read, the
// prompts taking turns, then one character more for all texts that have read theirs. So a long prompt holds
// up the others by a piece a character. No worker waits for another: layers are too thin to be shared between
// cores. Workers without texts sleep.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "generation.h"

namespace plm::infer {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

// So long from now; a time that nobody lives to see where the sum would overflow.
Clock::time_point after(Seconds seconds);

// The batch is full, and so is the queue.
class BusyError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// One text in a batcher, as its reader has it. The batcher uses the session until the text has ended.
class Stream {
  public:
    // `join`: text that comes within so many seconds of the last that was read is given together.
    Stream(std::shared_ptr<Session> session, std::string prompt, Generation generation,
           std::optional<Clock::time_point> deadline, Seconds join);

    // Waits for text, at most so long, and returns all that there is, in whole characters; nothing if none
    // came in time or the text has ended. Throws what ended it, if that was an error, once.
    std::string read(Seconds timeout);

    // Ends the text at the next character.
    void cancel() { cancelled_ = true; }

    FinishReason finish_reason()
        const;            // kNone until all of the text has been written and the session is free
    bool ended() const;   // and read too
    double bits() const;  // what the text so far costs under the full softmax

  private:
    friend class Batcher;

    bool reading() const { return fed_ < prompt_.size(); }
    void prefill(size_t most);  // of the prompt
    void end_if_due(Clock::time_point now);
    void deliver();  // hands on what may be read, and the session after the last of it

    // The batcher's part.
    std::shared_ptr<Session> session_;
    std::optional<Session::Use> use_;
    const std::string prompt_;
    size_t fed_ = 0;
    Generation generation_;
    const std::optional<Clock::time_point> deadline_;
    std::atomic<bool> cancelled_{false};

    // Between the two.
    mutable std::mutex mutex_;
    std::condition_variable news_;
    bool awaited_ = false;  // a reader sleeps until there is text
    std::string text_;
    double bits_ = 0;
    FinishReason finish_reason_ = FinishReason::kNone;
    std::exception_ptr error_;

    // The reader's part.
    const Clock::duration join_;
    Clock::time_point last_read_{};
};

class Batcher {
  public:
    struct Options {
        int threads = 1;
        int max_batch = 64;       // texts at a time
        int max_waiting = 256;    // that wait for their turn
        int prefill_bytes = 256;  // bytes of prompts that are read for each character written
        double step_seconds = 0;  // a step takes at least so long: to try out slow machines
    };

    // Throws std::invalid_argument for options out of range.
    Batcher(std::shared_ptr<Network> network, const Options& options);

    // Ends all texts as cancelled.
    ~Batcher();

    // Puts a text in line. BusyError if the line is full; std::invalid_argument for another network's
    // session.
    void submit(std::shared_ptr<Stream> stream);

    // Texts in work, and in line.
    std::pair<int, int> load() const;

  private:
    using Streams = std::deque<std::shared_ptr<Stream>>;
    struct Worker {
        // Shared, under the batcher's mutex.
        std::condition_variable wake;
        Streams arriving;
        size_t count = 0;  // texts it has, the arriving ones included
        // Its own.
        Streams prefilling, decoding;
        BatchDecoder decoder;
        std::vector<Generation*> rows;
        std::thread thread;
    };

    void admit();         // as many as there is max_bytes for; the mutex is held
    void drop_overdue();  // from the line; the mutex is held
    bool take_arriving(Worker& worker);
    void work(Worker& worker);
    void prefill(Worker& worker) const;
    void decode(Worker& worker);
    size_t sweep(Streams& streams) const;

    const std::shared_ptr<Network> network_;
    const Options options_;
    mutable std::mutex mutex_;
    bool closing_ = false;
    size_t active_ = 0;
    Streams waiting_;
    std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace plm::infer
