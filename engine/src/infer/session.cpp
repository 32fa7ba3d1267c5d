#include "session.h"

#include <algorithm>
#include <stdexcept>

namespace plm {
namespace {

constexpr int kLongestCharacter = 4;

}  // namespace

Session::Use::Use(Session& session) : session_(session) {
    if (session.busy_.exchange(true)) throw std::logic_error("the session is in use by another thread");
}

Session::Batch::Batch(const std::vector<Session*>& sessions) {
    for (Session* session : sessions) {
        if (session->network_ != sessions[0]->network_)
            throw std::invalid_argument("the sessions are of different models");
        uses.push_back(std::make_unique<Use>(*session));
        states.push_back(session->state_.get());
    }
    if (!sessions.empty()) network = sessions[0]->network_;
}

Session::Session(std::shared_ptr<Network> network)
    : network_(std::move(network)), state_(network_->begin()) {}

void Session::feed(const uint8_t* bytes, size_t size, double* bits) {
    const Use use(*this);
    network_->read(*state_, bytes, size, bits);
}

void Session::score_each(const std::vector<std::string_view>& texts, double* bits) {
    const Use use(*this);
    network_->score_each(*state_, texts, bits);
}

void Session::logits(float* out) {
    const Use use(*this);
    Network::State* only = state_.get();
    network_->predict(out, &only, 1);
}

bool Session::write(Sampler& sampler, bool end_allowed, int room, Character* out) {
    const Use use(*this);
    const int given = state_->text.size();
    // That a character is too long may show when bytes of it have been read already.
    std::unique_ptr<Network::State> before;
    if (room < kLongestCharacter - given) before = state_->clone();
    end_allowed = end_allowed && network_->has_marks();
    float logits[kBytes];
    for (;;) {
        Network::State* only = state_.get();
        network_->predict(logits, &only, 1);
        TextCutter text = only->text;
        const uint8_t byte = sampler.draw(logits, text, end_allowed);
        const bool end = end_allowed && byte == kEndMark;
        if (!end && text.least_size(byte) - given > room) {
            state_ = std::move(before);
            return false;
        }
        network_->advance(&only, &byte, 1);
        Character closed[2];  // the sampler draws what continues, so one at most is closed
        if (text.push(byte, closed) == 0) continue;
        sampler.see(closed[0]);
        *out = closed[0];
        return true;
    }
}

void Session::write_bytes(const std::vector<Session*>& sessions, const std::vector<Sampler*>& samplers,
                          bool end_allowed, uint8_t* out) {
    const Batch batch(sessions);
    if (!batch.network) return;
    end_allowed = end_allowed && batch.network->has_marks();
    std::vector<float> logits(sessions.size() * kBytes);
    batch.network->predict(logits.data(), batch.states.data(), sessions.size());
    for (size_t i = 0; i < sessions.size(); ++i) {
        TextCutter text = batch.states[i]->text;
        out[i] = samplers[i]->draw(logits.data() + i * kBytes, text, end_allowed);
        Character closed[2];
        if (text.push(out[i], closed) > 0) samplers[i]->see(closed[0]);
    }
    batch.network->advance(batch.states.data(), out, sessions.size());
}

void Session::feed_bytes(const std::vector<Session*>& sessions, const uint8_t* bytes) {
    const Batch batch(sessions);
    if (batch.network) batch.network->advance(batch.states.data(), bytes, sessions.size());
}

void Session::logits_of(const std::vector<Session*>& sessions, float* out) {
    const Batch batch(sessions);
    if (batch.network) batch.network->predict(out, batch.states.data(), sessions.size());
}

std::unique_ptr<Session> Session::fork() {
    const Use use(*this);
    return std::unique_ptr<Session>(new Session(network_, state_->clone()));
}

std::string Session::recent() {
    const Use use(*this);
    return state_->recent();
}

std::string Session::save(std::string* pending) {
    const Use use(*this);
    const TextCutter& text = state_->text;
    pending->assign(text.pending(), text.pending() + text.size());
    return state_->save();
}

void Session::restore(const std::string& state, const std::string& pending) {
    const Use use(*this);
    TextCutter text(state_->text.encoding());
    if (!text.set_pending(pending))
        throw std::invalid_argument("the pending bytes are not the beginning of a character");
    state_->restore(state, text);
    state_->text = text;
}

}  // namespace plm
