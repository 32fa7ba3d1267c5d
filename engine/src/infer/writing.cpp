#include "writing.h"

#include <algorithm>
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

Writing::Drawn Writing::take_byte(uint8_t byte, double bits) {
    TextCutter text = state().text;
    const bool end_mark = end_allowed_ && byte == kEndMark;
    if (!end_mark && text.least_size(byte) - given_ > room_) {
        session_->state_ = std::move(before_);
        end(Ending::kLength);
        return Drawn::kNothing;
    }
    next_.bits += bits;
    Character closed[2];  // the sampler draws what continues, so one at most is closed
    if (text.push(byte, closed) == 0) return Drawn::kByte;
    next_.character = closed[0];
    return Drawn::kCharacter;
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

// One more of the bytes that were drawn; `writing` is done with for this character when it becomes nullptr.
void Round::take(const Draw& draw, int byte, Writing*& writing) {
    if (draw.error) writing->fail(draw.error);
    const Writing::Drawn drawn =
        draw.error ? Writing::Drawn::kNothing : writing->take_byte(draw.bytes[byte], draw.bits[byte]);
    if (drawn == Writing::Drawn::kByte) return inner_.add(writing->state(), draw.bytes[byte]);
    if (drawn == Writing::Drawn::kCharacter) {
        last_.add(writing->state(), draw.bytes[byte]);
        closed_.push_back(writing);
    }
    writing = nullptr;
}

// The head goes over all texts that still lack a byte of their character. The trunk's turn comes once, when
// every text has its last byte.
void Round::run(const std::vector<Writing*>& writings) {
    open_.clear(), closed_.clear();
    for (Writing* writing : writings)
        if (writing->begin()) open_.push_back(writing);
    if (open_.empty()) return;
    Network& network = *open_[0]->session_->network_;
    while (!open_.empty()) {
        draws_.clear();
        for (Writing* writing : open_) draws_.push_back(writing->next());
        network.draw(draws_.data(), draws_.size());
        for (int byte = 0; byte < kLongestCharacter; ++byte) {
            for (size_t i = 0; i < open_.size(); ++i)
                if (open_[i] && (byte < draws_[i].count || draws_[i].error)) take(draws_[i], byte, open_[i]);
            inner_.read(network);
        }
        open_.erase(std::remove(open_.begin(), open_.end(), nullptr), open_.end());
    }
    last_.read(network);
    for (Writing* writing : closed_) writing->finish();
}

}  // namespace plm
