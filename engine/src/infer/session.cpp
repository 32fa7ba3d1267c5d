#include "session.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace plm {
namespace {

constexpr int kBytes = 256;
constexpr double kBitsPerNat = 1.4426950408889634;

// A chunk ends at kMaxRows characters of up to four bytes; three more bytes may be pending.
constexpr int kMaxChunk = 4 * kMaxRows + 3;

double bits_of(const Elementwise& ops, const float* logits, uint8_t byte) {
    float highest;
    const double sum = ops.sum_exp(&highest, logits, kBytes);
    const double bits = (std::log(sum) + (double(highest) - double(logits[byte]))) * kBitsPerNat;
    if (!std::isfinite(bits)) throw std::domain_error("the model's output is not finite");
    return bits;
}

}  // namespace

Network::Lease::Lease(Network& network) : network_(network) {
    {
        const std::lock_guard<std::mutex> lock(network_.mutex_);
        if (!network_.idle_.empty()) {
            scratch_ = std::move(network_.idle_.back());
            network_.idle_.pop_back();
        }
    }
    if (!scratch_) scratch_ = std::make_unique<Scratch>(network_.weights.config);
}

Network::Lease::~Lease() {
    const std::lock_guard<std::mutex> lock(network_.mutex_);
    network_.idle_.push_back(std::move(scratch_));
}

Session::Use::Use(Session& session) : session_(session) {
    if (session.busy_.exchange(true)) throw std::logic_error("the session is in use by another thread");
}

Session::Session(std::shared_ptr<Network> network)
    : network_(std::move(network)), state_(network_->weights.config) {
    const uint8_t begin = kEndMark;
    feed(&begin, 1, nullptr);
}

void Session::score(const Weights& weights, Scratch& scratch, const Target targets[], int count,
                    double* bits) {
    for (int begin = 0; begin < count; begin += kMaxRows) {
        Prefix prefixes[kMaxRows];
        const int M = std::min(kMaxRows, count - begin);
        for (int m = 0; m < M; ++m) prefixes[m] = targets[begin + m].prefix;
        head(weights, scratch, prefixes, M);
        for (int m = 0; m < M; ++m)
            bits[begin + m] =
                bits_of(*weights.elementwise, scratch.logits.data() + m * kBytes, targets[begin + m].byte);
    }
}

void Session::feed(const uint8_t* bytes, size_t size, double* bits) {
    const Use use(*this);
    Network::Lease scratch(*network_);
    for (size_t done = 0; done < size;)
        done += feed_chunk(*scratch, bytes + done, size - done, bits ? bits + done : nullptr);
}

// Reads bytes until the batch is full or the bytes end; returns how many.
size_t Session::feed_chunk(Scratch& scratch, const uint8_t* bytes, size_t size, double* bits) {
    const Weights& weights = network_->weights;
    Character characters[kMaxRows];
    State* states[kMaxRows];
    Target targets[kMaxChunk];
    int closed = 0, read = 0;
    // One byte may close two characters, so there must be room for both.
    while (size_t(read) < size && closed + 2 <= kMaxRows && read < kMaxChunk) {
        const float* base = closed == 0 ? scratch.start.data()
                                        : scratch.bases.data() + (closed - 1) * weights.config.head_width;
        targets[read] = {{base, cutter_.prefix_lead(), cutter_.prefix_pair()}, bytes[read]};
        closed += cutter_.push(bytes[read], characters + closed);
        ++read;
    }
    std::fill(states, states + closed, &state_);
    std::copy_n(state_.base(), scratch.start.size(), scratch.start.begin());
    if (closed > 0) step(weights, scratch, states, characters, closed, bits ? 0 : closed - 1);
    if (bits) score(weights, scratch, targets, read, bits);
    return size_t(read);
}

void Session::step_one(Scratch& scratch, const Character& character) {
    State* states[] = {&state_};
    step(network_->weights, scratch, states, &character, 1, 0);
}

void Session::logits(float* out) {
    const Use use(*this);
    Network::Lease scratch(*network_);
    const Prefix only = prefix();
    head(network_->weights, *scratch, &only, 1);
    std::copy_n((*scratch).logits.data(), kBytes, out);
}

bool Session::write(Sampler& sampler, bool end_allowed, int room, Character* out) {
    const Use use(*this);
    Network::Lease lease(*network_);
    Scratch& scratch = *lease;
    const Utf8Cutter before = cutter_;
    const int given = before.size;
    for (;;) {
        const Prefix next = prefix();
        head(network_->weights, scratch, &next, 1);
        const uint8_t byte = sampler.draw(scratch.logits.data(), cutter_, end_allowed);
        const uint8_t lead = cutter_.size > 0 ? cutter_.pending[0] : byte;
        if (byte != kEndMark && sequence_length(lead) - given > room) {
            cutter_ = before;
            return false;
        }
        Character closed[2];  // the sampler draws what continues, so one at most is closed
        if (cutter_.push(byte, closed) == 0) continue;
        step_one(scratch, closed[0]);
        sampler.see(closed[0]);
        *out = closed[0];
        return true;
    }
}

void Session::write_bytes(const std::vector<Session*>& sessions, const std::vector<Sampler*>& samplers,
                          bool end_allowed, uint8_t* out) {
    if (sessions.empty()) return;
    const std::shared_ptr<Network> network = sessions[0]->network_;
    const Uses uses = use_all(sessions);
    Network::Lease lease(*network);
    Scratch& scratch = *lease;
    for (size_t begin = 0; begin < sessions.size(); begin += kMaxRows) {
        const int M = int(std::min(size_t(kMaxRows), sessions.size() - begin));
        Prefix prefixes[kMaxRows];
        for (int m = 0; m < M; ++m) prefixes[m] = sessions[begin + size_t(m)]->prefix();
        head(network->weights, scratch, prefixes, M);
        State* states[kMaxRows];
        Character characters[kMaxRows];
        int stepping = 0;
        for (int m = 0; m < M; ++m) {
            Session& session = *sessions[begin + size_t(m)];
            Sampler& sampler = *samplers[begin + size_t(m)];
            const uint8_t byte =
                sampler.draw(scratch.logits.data() + m * kBytes, session.cutter_, end_allowed);
            out[begin + size_t(m)] = byte;
            Character closed[2];
            if (session.cutter_.push(byte, closed) == 0) continue;
            sampler.see(closed[0]);
            states[stepping] = &session.state_;
            characters[stepping++] = closed[0];
        }
        if (stepping > 0) step(network->weights, scratch, states, characters, stepping, 0);
    }
}

std::vector<float> Session::save(std::string* pending) {
    const Use use(*this);
    pending->assign(cutter_.pending, cutter_.pending + cutter_.size);
    return state_.floats();
}

void Session::restore(const float* floats, size_t count, const std::string& pending) {
    const Use use(*this);
    if (count != state_.floats().size()) throw std::invalid_argument("the state has another size");
    if (!std::all_of(floats, floats + count, [](float x) { return std::isfinite(x); }))
        throw std::invalid_argument("the state holds a value that is not finite");
    const auto* bytes = reinterpret_cast<const uint8_t*>(pending.data());
    if (pending.size() > 3 || !is_prefix(bytes, int(pending.size())))
        throw std::invalid_argument("the pending bytes are not the beginning of a character");
    std::copy_n(floats, count, state_.floats().begin());
    cutter_ = Utf8Cutter{};
    for (size_t i = 0; i < pending.size(); ++i) cutter_.pending[cutter_.size++] = bytes[i];
}

}  // namespace plm
