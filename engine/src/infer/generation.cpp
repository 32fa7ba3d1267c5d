#include "generation.h"

#include <algorithm>
#include <utility>

namespace plm::infer {
namespace {

constexpr int kLongestCharacter = 4;

}  // namespace

Generation::Generation(std::shared_ptr<Session> session, Sampler sampler, int max_bytes, bool end_allowed,
                       const std::vector<std::string>& stops, bool costs)
    : session_(std::move(session)),
      sampler_(std::move(sampler)),
      bytes_left_(max_bytes),
      end_allowed_(end_allowed && session_->network_->has_marks()),
      costs_(costs),
      stops_(stops, session_->network_->encoding()) {}

bool Generation::take(Character* out, double* bits) {
    if (free_ == 0) return false;
    *out = written_.front().character;
    *bits = written_.front().bits;
    written_.pop_front();
    --free_;
    if (!ahead_.empty()) ahead_.pop_front();
    return true;
}

void Generation::end(FinishReason finish_reason) {
    if (finish_reason_ != FinishReason::kNone) return;
    finish_reason_ = finish_reason;
    free_ = written_.size();
}

void Generation::fail(std::exception_ptr error) {
    if (finish_reason_ != FinishReason::kNone) return;
    error_ = std::move(error);
    before_.reset();
    end(FinishReason::kError);
}

void Generation::close() {
    if (!ahead_.empty()) session_->state_ = std::move(ahead_.front());
    ahead_.clear();
    written_.clear();
    free_ = 0;
}

bool Generation::begin() {
    if (finish_reason_ != FinishReason::kNone) return false;
    if (!begun_) {
        const std::string recent = state().recent();
        sampler_.read(reinterpret_cast<const uint8_t*>(recent.data()), recent.size());
        begun_ = true;
    }
    if (bytes_left_ <= 0) {
        end(FinishReason::kLength);
        return false;
    }
    given_ = state().text.size();
    next_ = {};
    // A character may prove too long when bytes of it have been read already.
    if (!stops_.empty() || bytes_left_ < kLongestCharacter - given_) before_ = state().clone();
    return true;
}

Generation::Sampled Generation::take_byte(uint8_t byte, double bits) {
    TextCutter text = state().text;
    const bool end_mark = end_allowed_ && byte == kEndMark;
    if (!end_mark && text.least_size(byte) - given_ > bytes_left_) {
        session_->state_ = std::move(before_);
        end(FinishReason::kLength);
        return Sampled::kNothing;
    }
    next_.bits += bits;
    Character closed[2];  // the sampler draws what continues, so one at most is closed
    if (text.push(byte, closed) == 0) return Sampled::kByte;
    next_.character = closed[0];
    return Sampled::kCharacter;
}

void Generation::finish() {
    const Character& character = next_.character;
    sampler_.accept(character);
    if (end_allowed_ && character.bytes[0] == kEndMark) {
        before_.reset();
        end(FinishReason::kEnd);
        return;
    }
    bytes_left_ -= character.size - given_;
    written_.push_back(next_);
    if (!stops_.empty()) ahead_.push_back(std::move(before_));
    before_.reset();
    if (const int complete = stops_.push(character); complete > 0) {
        written_.resize(written_.size() - size_t(complete));
        end(FinishReason::kStop);
    }
    free_ = written_.size() - (finish_reason_ == FinishReason::kNone ? size_t(stops_.held()) : 0);
}

void BatchDecoder::Bytes::read(Network& network) {
    if (!states.empty()) network.advance(states.data(), bytes.data(), states.size());
    states.clear(), bytes.clear();
}

// Takes one sampled byte; `generation` becomes nullptr when its character is complete.
void BatchDecoder::take(const SampleRequest& request, int byte, Generation*& generation) {
    if (request.error) generation->fail(request.error);
    const Generation::Sampled sampled = request.error
                                            ? Generation::Sampled::kNothing
                                            : generation->take_byte(request.bytes[byte], request.bits[byte]);
    if (sampled == Generation::Sampled::kByte) return inner_.add(generation->state(), request.bytes[byte]);
    if (sampled == Generation::Sampled::kCharacter) {
        last_.add(generation->state(), request.bytes[byte]);
        closed_.push_back(generation);
    }
    generation = nullptr;
}

// The head steps all texts that still lack a byte of their character; the trunk steps once, when every text
// has its last byte.
void BatchDecoder::run(const std::vector<Generation*>& generations) {
    open_.clear(), closed_.clear();
    for (Generation* generation : generations)
        if (generation->begin()) open_.push_back(generation);
    if (open_.empty()) return;
    Network& network = *open_[0]->session_->network_;
    while (!open_.empty()) {
        requests_.clear();
        for (Generation* generation : open_) requests_.push_back(generation->next());
        network.sample(requests_.data(), requests_.size());
        for (int byte = 0; byte < kLongestCharacter; ++byte) {
            for (size_t i = 0; i < open_.size(); ++i)
                if (open_[i] && (byte < requests_[i].count || requests_[i].error))
                    take(requests_[i], byte, open_[i]);
            inner_.read(network);
        }
        open_.erase(std::remove(open_.begin(), open_.end(), nullptr), open_.end());
    }
    last_.read(network);
    for (Generation* generation : closed_) generation->finish();
}

}  // namespace plm::infer
