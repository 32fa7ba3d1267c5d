// What likelihoods of many texts need of a session: scoring continuations in one batch, and moving many
// sessions on together, as a beam search does.
#include <algorithm>
#include <stdexcept>

#include "session.h"

namespace plm {
namespace {

constexpr int kBytes = 256;

}  // namespace

// The rows of a batch are characters of as many texts as fit, text after text. Only the texts of one batch
// need states of their own, and at most kMaxRows texts have a character in it.
void Session::score_each(const std::vector<std::string_view>& texts, double* bits) {
    const Use use(*this);
    const Weights& weights = network_->weights;
    Network::Lease lease(*network_);
    Scratch& scratch = *lease;
    std::vector<State> slots(std::min(size_t(kMaxRows), texts.size()), state_);
    size_t used = 0;
    Character characters[kMaxRows];
    State* states[kMaxRows];
    std::vector<Target> targets;
    int closed = 0;
    const auto run = [&] {
        if (closed > 0) step(weights, scratch, states, characters, closed, 0);
        score(weights, scratch, targets.data(), int(targets.size()), bits);
        bits += targets.size();
        targets.clear();
        closed = 0;
    };
    for (const std::string_view text : texts) {
        Utf8Cutter cutter = cutter_;
        State* state = nullptr;  // none before the text's first character is closed
        const float* base = state_.base();
        for (size_t i = 0; i < text.size(); ++i) {
            if (closed + 2 > kMaxRows) {  // one byte may close two characters
                run();
                if (state) {
                    std::copy_n(state->base(), scratch.start.size(), scratch.start.begin());
                    base = scratch.start.data();
                }
            }
            const uint8_t byte = uint8_t(text[i]);
            targets.push_back({{base, cutter.prefix_lead(), cutter.prefix_pair()}, byte});
            if (i + 1 == text.size()) break;  // nothing is asked of the model after the last byte
            const int count = cutter.push(byte, characters + closed);
            if (count == 0) continue;
            if (!state) {
                state = &slots[used++ % slots.size()];
                *state = state_;
            }
            std::fill_n(states + closed, count, state);
            closed += count;
            base = scratch.bases.data() + (closed - 1) * weights.config.head_width;
        }
    }
    run();
}

void Session::feed_bytes(const std::vector<Session*>& sessions, const uint8_t* bytes) {
    if (sessions.empty()) return;
    const std::shared_ptr<Network> network = sessions[0]->network_;
    const Uses uses = use_all(sessions);
    Network::Lease lease(*network);
    Character characters[kMaxRows];
    State* states[kMaxRows];
    int closed = 0;
    for (size_t i = 0; i < sessions.size(); ++i) {
        const int count = sessions[i]->cutter_.push(bytes[i], characters + closed);
        std::fill_n(states + closed, count, &sessions[i]->state_);
        closed += count;
        if (closed == 0 || (closed + 2 <= kMaxRows && i + 1 < sessions.size())) continue;
        step(network->weights, *lease, states, characters, closed, 0);
        closed = 0;
    }
}

void Session::logits_of(const std::vector<Session*>& sessions, float* out) {
    if (sessions.empty()) return;
    const std::shared_ptr<Network> network = sessions[0]->network_;
    const Uses uses = use_all(sessions);
    Network::Lease lease(*network);
    for (size_t begin = 0; begin < sessions.size(); begin += kMaxRows) {
        const int M = int(std::min(size_t(kMaxRows), sessions.size() - begin));
        Prefix prefixes[kMaxRows];
        for (int m = 0; m < M; ++m) prefixes[m] = sessions[begin + size_t(m)]->prefix();
        head(network->weights, *lease, prefixes, M);
        std::copy_n((*lease).logits.data(), size_t(M) * kBytes, out + begin * kBytes);
    }
}

std::unique_ptr<Session> Session::fork() {
    const Use use(*this);
    return std::unique_ptr<Session>(new Session(network_, state_, cutter_));
}

Session::Uses Session::use_all(const std::vector<Session*>& sessions) {
    Uses uses;
    for (Session* session : sessions) {
        if (session->network_ != sessions[0]->network_)
            throw std::invalid_argument("the sessions are of different models");
        uses.push_back(std::make_unique<Use>(*session));
    }
    return uses;
}

}  // namespace plm
