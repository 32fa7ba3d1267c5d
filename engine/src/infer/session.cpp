#include "session.h"

#include <algorithm>
#include <stdexcept>

namespace plm::infer {

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

}  // namespace plm::infer
