// Many texts at once, each joining and leaving at any character (continuous batching; Yu et al., "Orca",
// 2022).
//
// Each worker thread has texts of its own and alternates: it prefills a piece of one prompt, the prompts
// taking turns, then decodes one character for all texts whose prompt has been read. So a long prompt delays
// the others by one piece for each character. Workers do not wait for each other: layers are too thin to be
// shared between cores. Workers without texts sleep.
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

// now + seconds, saturating.
Clock::time_point after(Seconds seconds);

// Both the batch and the queue are full.
class BusyError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// One text in a batcher, as the caller sees it. The batcher uses the session until the text has ended.
class Stream {
  public:
    // `join`: text within so many seconds of the last read is returned together.
    Stream(std::shared_ptr<Session> session, std::string prompt, Generation generation,
           std::optional<Clock::time_point> deadline, Seconds join);

    // Waits at most `timeout` for text and returns all of it, in whole characters; nothing if none came in
    // time or the text has ended. Throws the error that ended it, once.
    std::string read(Seconds timeout);

    // Ends the text at the next character.
    void cancel() { cancelled_ = true; }

    FinishReason finish_reason() const;  // kNone until the text is complete and the session is free
    bool ended() const;                  // and has been read
    double bits() const;                 // of the text so far, if its generation counts costs

  private:
    friend class Batcher;

    bool reading() const { return fed_ < prompt_.size(); }
    void prefill(size_t most);  // of the prompt
    void end_if_due(Clock::time_point now);
    void deliver();  // hands out text, and the session after the last of it

    // Used by the batcher.
    std::shared_ptr<Session> session_;
    std::optional<Session::Use> use_;
    const std::string prompt_;
    size_t fed_ = 0;
    Generation generation_;
    const std::optional<Clock::time_point> deadline_;
    std::atomic<bool> cancelled_{false};

    // Shared by both.
    mutable std::mutex mutex_;
    std::condition_variable news_;
    bool awaited_ = false;  // a reader sleeps until there is text
    std::string text_;
    double bits_ = 0;
    FinishReason finish_reason_ = FinishReason::kNone;
    std::exception_ptr error_;

    // Used by the reader.
    const Clock::duration join_;
    Clock::time_point last_read_{};
};

class Batcher {
  public:
    struct Options {
        int threads = 1;
        int max_batch = 64;       // texts at a time
        int max_waiting = 256;    // texts that wait
        int prefill_bytes = 256;  // bytes of prompts that are read for each decoded character
        double step_seconds = 0;  // a step takes at least so long: to simulate slow machines
    };

    // Throws std::invalid_argument for options out of range.
    Batcher(std::shared_ptr<Network> network, const Options& options);

    // Ends all texts as cancelled.
    ~Batcher();

    // Enqueues a text. BusyError if the queue is full; std::invalid_argument for a session of another
    // network.
    void submit(std::shared_ptr<Stream> stream);

    // Texts in the batch, and in the queue.
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

    void admit();         // as many as fit into the batch; the mutex is held
    void drop_overdue();  // from the queue; the mutex is held
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
