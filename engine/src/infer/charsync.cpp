#include "charsync.h"

#include <algorithm>
#include <stdexcept>

namespace plm {
namespace {

// A chunk ends at kMaxRows characters of up to four bytes; three more bytes may be pending.
constexpr int kMaxChunk = 4 * kMaxRows + 3;

Prefix prefix_of(const float* base, const TextCutter& text) {
    return {base, text.utf8().prefix_lead(), text.utf8().prefix_pair()};
}

}  // namespace

class CharsyncNetwork::CharsyncState : public Network::State {
  public:
    explicit CharsyncState(const Config& config) : State(Encoding::kUtf8), trunk(config) {}
    std::unique_ptr<State> clone() const override { return std::make_unique<CharsyncState>(*this); }
    std::vector<float> save() const override { return trunk.floats(); }
    void restore(const float* floats, size_t count) override {
        if (count != trunk.floats().size()) throw std::invalid_argument("the state has another size");
        std::copy_n(floats, count, trunk.floats().begin());
    }
    Prefix prefix() { return prefix_of(trunk.base(), text); }

    TrunkState trunk;
};

CharsyncNetwork::Lease CharsyncNetwork::lease() {
    return {pool_, [this] { return std::make_unique<Scratch>(weights_.config); }};
}

std::unique_ptr<Network::State> CharsyncNetwork::begin() {
    auto state = std::make_unique<CharsyncState>(weights_.config);
    const uint8_t mark = kEndMark;
    read(*state, &mark, 1, nullptr);
    return state;
}

void CharsyncNetwork::read(State& state, const uint8_t* bytes, size_t size, double* bits) {
    Lease scratch = lease();
    for (size_t done = 0; done < size;)
        done += read_chunk(*scratch, static_cast<CharsyncState&>(state), bytes + done, size - done,
                           bits ? bits + done : nullptr);
}

// Reads bytes until the batch is full or the bytes end; returns how many.
size_t CharsyncNetwork::read_chunk(Scratch& scratch, CharsyncState& state, const uint8_t* bytes, size_t size,
                                   double* bits) {
    Character characters[kMaxRows];
    TrunkState* states[kMaxRows];
    Target targets[kMaxChunk];
    int closed = 0, read = 0;
    // One byte may close two characters, so there must be room for both.
    while (size_t(read) < size && closed + 2 <= kMaxRows && read < kMaxChunk) {
        const float* base = closed == 0 ? scratch.start.data()
                                        : scratch.bases.data() + (closed - 1) * weights_.config.head_width;
        targets[read] = {prefix_of(base, state.text), bytes[read]};
        closed += state.text.push(bytes[read], characters + closed);
        ++read;
    }
    std::fill(states, states + closed, &state.trunk);
    std::copy_n(state.trunk.base(), scratch.start.size(), scratch.start.begin());
    if (closed > 0) step(weights_, scratch, states, characters, closed, bits ? 0 : closed - 1);
    if (bits) score(scratch, targets, read, bits);
    return size_t(read);
}

void CharsyncNetwork::score(Scratch& scratch, const Target targets[], int count, double* bits) const {
    for (int begin = 0; begin < count; begin += kMaxRows) {
        Prefix prefixes[kMaxRows];
        const int M = std::min(kMaxRows, count - begin);
        for (int m = 0; m < M; ++m) prefixes[m] = targets[begin + m].prefix;
        head(weights_, scratch, prefixes, M);
        for (int m = 0; m < M; ++m)
            bits[begin + m] =
                bits_of(*weights_.elementwise, scratch.logits.data() + m * kBytes, targets[begin + m].byte);
    }
}

void CharsyncNetwork::predict(float* logits, State* const states[], size_t count) {
    Lease scratch = lease();
    for (size_t begin = 0; begin < count; begin += kMaxRows) {
        const int M = int(std::min(size_t(kMaxRows), count - begin));
        Prefix prefixes[kMaxRows];
        for (int m = 0; m < M; ++m)
            prefixes[m] = static_cast<CharsyncState*>(states[begin + size_t(m)])->prefix();
        head(weights_, *scratch, prefixes, M);
        std::copy_n((*scratch).logits.data(), size_t(M) * kBytes, logits + begin * kBytes);
    }
}

void CharsyncNetwork::advance(State* const states[], const uint8_t bytes[], size_t count) {
    Lease scratch = lease();
    Character characters[kMaxRows];
    TrunkState* trunks[kMaxRows];
    int closed = 0;
    for (size_t i = 0; i < count; ++i) {
        auto* state = static_cast<CharsyncState*>(states[i]);
        const int more = state->text.push(bytes[i], characters + closed);
        std::fill_n(trunks + closed, more, &state->trunk);
        closed += more;
        if (closed == 0 || (closed + 2 <= kMaxRows && i + 1 < count)) continue;
        step(weights_, *scratch, trunks, characters, closed, 0);
        closed = 0;
    }
}

// The rows of a batch are characters of as many texts as fit, text after text. Only the texts of one batch
// need states of their own, and at most kMaxRows texts have a character in it.
void CharsyncNetwork::score_each(const State& start, const std::vector<std::string_view>& texts,
                                 double* bits) {
    CharsyncState here(static_cast<const CharsyncState&>(start));
    Lease lease_of_scratch = lease();
    Scratch& scratch = *lease_of_scratch;
    std::vector<TrunkState> slots(std::min(size_t(kMaxRows), texts.size()), here.trunk);
    size_t used = 0;
    Character characters[kMaxRows];
    TrunkState* states[kMaxRows];
    std::vector<Target> targets;
    int closed = 0;
    const auto run = [&] {
        if (closed > 0) step(weights_, scratch, states, characters, closed, 0);
        score(scratch, targets.data(), int(targets.size()), bits);
        bits += targets.size();
        targets.clear();
        closed = 0;
    };
    for (const std::string_view text : texts) {
        TextCutter cutter = here.text;
        TrunkState* state = nullptr;  // none before the text's first character is closed
        const float* base = here.trunk.base();
        for (size_t i = 0; i < text.size(); ++i) {
            if (closed + 2 > kMaxRows) {  // one byte may close two characters
                run();
                if (state) {
                    std::copy_n(state->base(), scratch.start.size(), scratch.start.begin());
                    base = scratch.start.data();
                }
            }
            const uint8_t byte = uint8_t(text[i]);
            targets.push_back({prefix_of(base, cutter), byte});
            if (i + 1 == text.size()) break;  // nothing is asked of the model after the last byte
            const int count = cutter.push(byte, characters + closed);
            if (count == 0) continue;
            if (!state) {
                state = &slots[used++ % slots.size()];
                *state = here.trunk;
            }
            std::fill_n(states + closed, count, state);
            closed += count;
            base = scratch.bases.data() + (closed - 1) * weights_.config.head_width;
        }
    }
    run();
}

}  // namespace plm
