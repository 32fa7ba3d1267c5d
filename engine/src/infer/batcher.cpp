#include "batcher.h"

#include <algorithm>
#include <utility>

namespace plm::infer {
namespace {

Clock::duration ticks(Seconds seconds) {
    return std::chrono::duration_cast<Clock::duration>(std::min(std::max(seconds, Seconds(0)), Seconds(1e9)));
}

}  // namespace

Clock::time_point after(Seconds seconds) {
    return Clock::now() + ticks(seconds);
}

Stream::Stream(std::shared_ptr<Session> session, std::string prompt, Generation generation,
               std::optional<Clock::time_point> deadline, Seconds join)
    : session_(std::move(session)),
      prompt_(std::move(prompt)),
      generation_(std::move(generation)),
      deadline_(deadline),
      join_(ticks(join)) {
    use_.emplace(*session_);
}

std::string Stream::read(Seconds timeout) {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto until = after(timeout);
    const auto over = [&] { return finish_reason_ != FinishReason::kNone; };
    const auto due = last_read_ + join_;
    if (!news_.wait_until(lock, std::min(due, until), over) && due > until) return {};
    awaited_ = true;
    news_.wait_until(lock, until, [&] { return over() || !text_.empty(); });
    awaited_ = false;
    if (text_.empty() && error_) std::rethrow_exception(std::exchange(error_, nullptr));
    last_read_ = Clock::now();
    return std::exchange(text_, {});
}

FinishReason Stream::finish_reason() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return finish_reason_;
}

bool Stream::ended() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return finish_reason_ != FinishReason::kNone && text_.empty() && !error_;
}

double Stream::bits() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return bits_;
}

void Stream::prefill(size_t most) {
    const size_t size = std::min(most, prompt_.size() - fed_);
    session_->network_->read(*session_->state_, reinterpret_cast<const uint8_t*>(prompt_.data()) + fed_, size,
                             nullptr);
    fed_ += size;
}

void Stream::end_if_due(Clock::time_point now) {
    if (cancelled_) generation_.end(FinishReason::kCancelled);
    if (deadline_ && now >= *deadline_) generation_.end(FinishReason::kDeadline);
}

void Stream::deliver() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (finish_reason_ != FinishReason::kNone) return;  // the session belongs to the caller again
    Character character;
    double bits;
    while (generation_.take(&character, &bits)) {
        text_.append(reinterpret_cast<const char*>(character.bytes), character.size);
        bits_ += bits;
    }
    const bool over = generation_.finish_reason() != FinishReason::kNone;
    if (over) {
        generation_.close();
        use_.reset();
        error_ = generation_.error();
        finish_reason_ = generation_.finish_reason();
    }
    const bool wake = over || (awaited_ && !text_.empty());
    lock.unlock();
    if (wake) news_.notify_all();
}

Batcher::Batcher(std::shared_ptr<Network> network, const Options& options)
    : network_(std::move(network)), options_(options) {
    if (options.threads < 1 || options.max_batch < 1 || options.max_waiting < 0 ||
        options.prefill_bytes < 1 || !(options.step_seconds >= 0))
        throw std::invalid_argument("impossible options");
    for (int i = 0; i < options.threads; ++i) workers_.push_back(std::make_unique<Worker>());
    for (const auto& worker : workers_)
        worker->thread = std::thread([this, &worker = *worker] { work(worker); });
}

Batcher::~Batcher() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        closing_ = true;
        for (const auto& worker : workers_) worker->wake.notify_one();
    }
    for (const auto& worker : workers_) worker->thread.join();
    const auto end = [](Streams& streams) {
        for (const auto& stream : streams) {
            stream->generation_.end(FinishReason::kCancelled);
            stream->deliver();
        }
    };
    end(waiting_);
    for (const auto& worker : workers_)
        for (Streams* streams : {&worker->arriving, &worker->prefilling, &worker->decoding}) end(*streams);
}

void Batcher::submit(std::shared_ptr<Stream> stream) {
    if (stream->session_->network_ != network_)
        throw std::invalid_argument("the session is of another model");
    const std::lock_guard<std::mutex> lock(mutex_);
    drop_overdue();
    if (active_ >= size_t(options_.max_batch) && waiting_.size() >= size_t(options_.max_waiting))
        throw BusyError("the engine is busy: " + std::to_string(active_) + " texts are being written and " +
                        std::to_string(waiting_.size()) + " wait");
    waiting_.push_back(std::move(stream));
    admit();
}

std::pair<int, int> Batcher::load() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return {int(active_), int(waiting_.size())};
}

void Batcher::admit() {
    while (active_ < size_t(options_.max_batch) && !waiting_.empty()) {
        Worker& least = **std::min_element(workers_.begin(), workers_.end(),
                                           [](const auto& a, const auto& b) { return a->count < b->count; });
        least.arriving.push_back(std::move(waiting_.front()));
        waiting_.pop_front();
        ++least.count, ++active_;
        least.wake.notify_one();
    }
}

void Batcher::drop_overdue() {
    sweep(waiting_);
}

// Ends those that were cancelled or are past their deadline, and removes all that have ended.
size_t Batcher::sweep(Streams& streams) const {
    const auto now = Clock::now();
    const auto has_ended = [&](const std::shared_ptr<Stream>& stream) {
        stream->end_if_due(now);
        if (stream->generation_.finish_reason() == FinishReason::kNone) return false;
        stream->deliver();
        return true;
    };
    const auto last = std::remove_if(streams.begin(), streams.end(), has_ended);
    const size_t count = size_t(streams.end() - last);
    streams.erase(last, streams.end());
    return count;
}

// False when it is time to stop.
bool Batcher::take_arriving(Worker& me) {
    const size_t left = sweep(me.prefilling) + sweep(me.decoding);
    std::unique_lock<std::mutex> lock(mutex_);
    me.count -= left, active_ -= left;
    if (!waiting_.empty()) drop_overdue();
    admit();
    me.wake.wait(lock, [&] { return closing_ || me.count > 0; });
    for (auto& stream : me.arriving)
        (stream->reading() ? me.prefilling : me.decoding).push_back(std::move(stream));
    me.arriving.clear();
    return !closing_;
}

void Batcher::work(Worker& me) {
    while (take_arriving(me)) {
        prefill(me);
        if (!me.decoding.empty()) decode(me);
    }
}

void Batcher::prefill(Worker& me) const {
    for (size_t budget = size_t(options_.prefill_bytes); budget > 0 && !me.prefilling.empty();) {
        const std::shared_ptr<Stream> stream = std::move(me.prefilling.front());
        me.prefilling.pop_front();
        const size_t before = stream->fed_;
        try {
            stream->prefill(budget);
        } catch (...) {
            stream->generation_.fail(std::current_exception());
        }
        budget -= std::max(stream->fed_ - before, size_t(1));
        const bool more = stream->reading() && stream->generation_.finish_reason() == FinishReason::kNone;
        (more ? me.prefilling : me.decoding).push_back(stream);
    }
}

void Batcher::decode(Worker& me) {
    const auto until = after(Seconds(options_.step_seconds));
    me.rows.clear();
    for (const auto& stream : me.decoding) me.rows.push_back(&stream->generation_);
    try {
        me.decoder.run(me.rows);
    } catch (...) {
        for (const auto& stream : me.decoding) stream->generation_.fail(std::current_exception());
    }
    if (options_.step_seconds > 0) {
        std::unique_lock<std::mutex> lock(mutex_);
        me.wake.wait_until(lock, until, [&] { return closing_; });
    }
    for (const auto& stream : me.decoding) stream->deliver();
}

}  // namespace plm::infer
