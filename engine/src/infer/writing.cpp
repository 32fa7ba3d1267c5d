#include "writing.h"

#include <utility>

namespace plm {
namespace {

constexpr int kLongestCharacter = 4;

}  // namespace

Writing::Writing(std::shared_ptr<Session> session, Sampler sampler, int room, bool end_allowed,
                 const std::vector<std::string>& stops)
    : session_(std::move(session)),
      sampler_(std::move(sampler)),
      room_(room),
      end_allowed_(end_allowed && session_->network_->has_marks()),
      stops_(stops, session_->network_->encoding()) {}

bool Writing::take(Character* out, double* bits) {
    if (free_ == 0) return false;
    *out = written_.front().character;
    *bits = written_.front().bits;
    written_.pop_front();
    --free_;
    if (!ahead_.empty()) ahead_.pop_front();
    return true;
}

void Writing::end(Ending ending) {
    if (ending_ != Ending::kNone) return;
    ending_ = ending;
    free_ = written_.size();
}

void Writing::fail(std::exception_ptr error) {
    if (ending_ != Ending::kNone) return;
    error_ = std::move(error);
    before_.reset();
    end(Ending::kError);
}

void Writing::close() {
    if (!ahead_.empty()) session_->state_ = std::move(ahead_.front());
    ahead_.clear();
    written_.clear();
    free_ = 0;
}

bool Writing::begin() {
    if (ending_ != Ending::kNone) return false;
    if (!begun_) {
        const std::string recent = state().recent();
        sampler_.read(reinterpret_cast<const uint8_t*>(recent.data()), recent.size());
        begun_ = true;
    }
    if (room_ <= 0) {
        end(Ending::kLength);
        return false;
    }
    given_ = state().text.size();
    next_ = {};
    // That a character is too long may show when bytes of it have been read already.
    if (!stops_.empty() || room_ < kLongestCharacter - given_) before_ = state().clone();
    return true;
}

Writing::Drawn Writing::draw(const float* logits, uint8_t* byte) try {
    TextCutter text = state().text;
    const Elementwise& ops = session_->network_->elementwise();
    *byte = sampler_.draw(ops, logits, text, end_allowed_);
    const bool end_mark = end_allowed_ && *byte == kEndMark;
    if (!end_mark && text.least_size(*byte) - given_ > room_) {
        session_->state_ = std::move(before_);
        end(Ending::kLength);
        return Drawn::kNothing;
    }
    next_.bits += bits_of(ops, logits, *byte);
    Character closed[2];  // the sampler draws what continues, so one at most is closed
    if (text.push(*byte, closed) == 0) return Drawn::kByte;
    next_.character = closed[0];
    return Drawn::kCharacter;
} catch (...) {
    fail(std::current_exception());
    return Drawn::kNothing;
}

void Writing::finish() {
    const Character& character = next_.character;
    sampler_.see(character);
    if (end_allowed_ && character.bytes[0] == kEndMark) {
        before_.reset();
        end(Ending::kEnd);
        return;
    }
    room_ -= character.size - given_;
    written_.push_back(next_);
    if (!stops_.empty()) ahead_.push_back(std::move(before_));
    before_.reset();
    if (const int complete = stops_.push(character); complete > 0) {
        written_.resize(written_.size() - size_t(complete));
        end(Ending::kStop);
    }
    free_ = written_.size() - (ending_ == Ending::kNone ? size_t(stops_.held()) : 0);
}

void Round::Bytes::read(Network& network) {
    if (!states.empty()) network.advance(states.data(), bytes.data(), states.size());
    states.clear(), bytes.clear();
}

// The head goes over all texts that still lack a byte of their character. The trunk's turn comes once, when
// every text has its last byte.
void Round::run(const std::vector<Writing*>& writings) {
    open_.clear(), closed_.clear();
    for (Writing* writing : writings)
        if (writing->begin()) open_.push_back(writing);
    if (open_.empty()) return;
    Network& network = *open_[0]->session_->network_;
    logits_.resize(open_.size() * kBytes);
    while (!open_.empty()) {
        states_.clear();
        for (const Writing* writing : open_) states_.push_back(&writing->state());
        network.predict(logits_.data(), states_.data(), open_.size());
        size_t still = 0;
        for (size_t i = 0; i < open_.size(); ++i) {
            Writing& writing = *open_[i];
            uint8_t byte;
            const Writing::Drawn drawn = writing.draw(logits_.data() + i * kBytes, &byte);
            if (drawn == Writing::Drawn::kNothing) continue;
            (drawn == Writing::Drawn::kByte ? inner_ : last_).add(writing.state(), byte);
            if (drawn == Writing::Drawn::kByte)
                open_[still++] = &writing;
            else
                closed_.push_back(&writing);
        }
        open_.resize(still);
        inner_.read(network);
    }
    last_.read(network);
    for (Writing* writing : closed_) writing->finish();
}

}  // namespace plm
