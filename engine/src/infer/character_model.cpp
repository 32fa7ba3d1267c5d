#include "character_model.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "open_patch.h"

namespace plm::infer {
namespace {

constexpr int kMaxChunk = 4 * kMaxRows + 3;  // bytes: kMaxRows characters, if there are no longer patches

Prefix prefix_of(const Config& c, const float* bases, const PatchCutter& cutter) {
    const int view = std::min(cutter.open_size(), c.views - 1);
    return {bases + view * c.head_width, cutter.open_rows(c.prefixes)};
}

}  // namespace

class CharacterModel::CharacterState : public Network::State {
  public:
    explicit CharacterState(CharacterModel& network)
        : State(Encoding::kUtf8),
          trunk(network.weights_.config),
          cutter(cutter_of(network.weights_.config)),
          network_(&network) {}
    std::unique_ptr<State> clone() const override { return std::make_unique<CharacterState>(*this); }

    std::string save() const override {
        std::string out;
        out.reserve(trunk.saved_size() + sizeof(OpenPatch));
        trunk.save(&out);
        save_cutter(&out, cutter);
        return out;
    }

    void restore(const std::string& bytes, const TextCutter& pending) override {
        if (bytes.size() != trunk.saved_size() + sizeof(OpenPatch))
            throw std::invalid_argument("the state has another size");
        CharacterState next(*network_);
        if (!next.trunk.restore(bytes.data(), trunk.saved_size()))
            throw std::invalid_argument("the state holds a value that is not finite or too large");
        next.cutter =
            restored_cutter(network_->weights_.config, bytes.data() + trunk.saved_size(), pending.utf8());
        Lease scratch = network_->lease();
        restore_base(network_->weights_, *scratch, next.trunk);
        trunk = std::move(next.trunk);
        cutter = next.cutter;
    }

    // Moves both cutters on.
    int push(uint8_t byte, Patch closed[2]) {
        Character characters[2];
        text.push(byte, characters);
        return cutter.push(byte, closed);
    }
    Prefix prefix() { return prefix_of(network_->weights_.config, trunk.base(), cutter); }

    TrunkState trunk;
    PatchCutter cutter;

  private:
    CharacterModel* network_;
};

CharacterModel::Lease CharacterModel::lease() {
    return {pool_, [this] { return std::make_unique<Scratch>(weights_.config); }};
}

CharacterModel::CharacterModel(Weights weights)
    : weights_(std::move(weights)), start_(std::make_unique<CharacterState>(*this)) {
    const uint8_t mark = kEndMark;
    read(*start_, &mark, 1, nullptr);
}

std::unique_ptr<Network::State> CharacterModel::begin() {
    return start_->clone();
}

void CharacterModel::read(State& state, const uint8_t* bytes, size_t size, double* bits) {
    Lease scratch = lease();
    for (size_t done = 0; done < size;)
        done += read_chunk(*scratch, static_cast<CharacterState&>(state), bytes + done, size - done,
                           bits ? bits + done : nullptr);
}

// Reads bytes until the batch is full or the bytes end; returns how many.
size_t CharacterModel::read_chunk(Scratch& scratch, CharacterState& state, const uint8_t* bytes, size_t size,
                                  double* bits) {
    const Config& c = weights_.config;
    Patch patches[kMaxRows];
    TrunkState* states[kMaxRows];
    Target targets[kMaxChunk];
    int closed = 0, read = 0;
    // One byte may close two patches, so there must be room for both.
    while (size_t(read) < size && closed + 2 <= kMaxRows && read < kMaxChunk) {
        const float* base =
            closed == 0 ? scratch.start.data() : scratch.bases.data() + (closed - 1) * c.bases();
        targets[read] = {prefix_of(c, base, state.cutter), bytes[read]};
        closed += state.push(bytes[read], patches + closed);
        ++read;
    }
    std::fill(states, states + closed, &state.trunk);
    std::copy_n(state.trunk.base(), scratch.start.size(), scratch.start.begin());
    if (closed > 0) step(weights_, scratch, states, patches, closed, bits ? 0 : closed - 1);
    if (bits) score(scratch, targets, read, bits);
    return size_t(read);
}

void CharacterModel::score(Scratch& scratch, const Target targets[], int count, double* bits) const {
    for (int begin = 0; begin < count; begin += kMaxRows) {
        Prefix prefixes[kMaxRows];
        const int M = std::min(kMaxRows, count - begin);
        for (int m = 0; m < M; ++m) prefixes[m] = targets[begin + m].prefix;
        head(weights_, scratch, prefixes, M);
        for (int m = 0; m < M; ++m)
            bits[begin + m] =
                cost_bits(*weights_.vector_ops, scratch.logits.data() + m * kBytes, targets[begin + m].byte);
    }
}

void CharacterModel::predict(float* logits, State* const states[], size_t count) {
    Lease scratch = lease();
    for (size_t begin = 0; begin < count; begin += kMaxRows) {
        const int M = int(std::min(size_t(kMaxRows), count - begin));
        Prefix prefixes[kMaxRows];
        for (int m = 0; m < M; ++m)
            prefixes[m] = static_cast<CharacterState*>(states[begin + size_t(m)])->prefix();
        head(weights_, *scratch, prefixes, M);
        std::copy_n((*scratch).logits.data(), size_t(M) * kBytes, logits + begin * kBytes);
    }
}

void CharacterModel::advance(State* const states[], const uint8_t bytes[], size_t count) {
    Lease scratch = lease();
    Patch patches[kMaxRows + 1];  // one byte may close two
    TrunkState* trunks[kMaxRows + 1];
    int closed = 0;
    for (size_t i = 0; i < count; ++i) {
        auto* state = static_cast<CharacterState*>(states[i]);
        const int more = state->push(bytes[i], patches + closed);
        std::fill_n(trunks + closed, more, &state->trunk);
        closed += more;
        if (closed < kMaxRows) continue;
        step(weights_, *scratch, trunks, patches, kMaxRows, 0);
        closed -= kMaxRows;
        patches[0] = patches[kMaxRows], trunks[0] = trunks[kMaxRows];
    }
    if (closed > 0) step(weights_, *scratch, trunks, patches, closed, 0);
}

// The rows of a batch are patches of as many texts as fit, text after text. Only the texts of one batch
// need states of their own, and at most kMaxRows texts have a patch in it.
void CharacterModel::score_each(const State& start, const std::vector<std::string_view>& texts,
                                double* bits) {
    CharacterState here(static_cast<const CharacterState&>(start));
    Lease lease_of_scratch = lease();
    Scratch& scratch = *lease_of_scratch;
    std::vector<TrunkState> slots(std::min(size_t(kMaxRows), texts.size()), here.trunk);
    const Config& c = weights_.config;
    size_t used = 0;
    Patch patches[kMaxRows];
    TrunkState* states[kMaxRows];
    std::vector<Target> targets;
    int closed = 0;
    const auto run = [&] {
        if (closed > 0) step(weights_, scratch, states, patches, closed, 0);
        score(scratch, targets.data(), int(targets.size()), bits);
        bits += targets.size();
        targets.clear();
        closed = 0;
    };
    for (const std::string_view text : texts) {
        PatchCutter cutter = here.cutter;
        TrunkState* state = nullptr;  // none before the text's first patch is closed
        const float* base = here.trunk.base();
        for (size_t i = 0; i < text.size(); ++i) {
            if (closed + 2 > kMaxRows) {  // one byte may close two patches
                run();
                if (state) {
                    std::copy_n(state->base(), scratch.start.size(), scratch.start.begin());
                    base = scratch.start.data();
                }
            }
            const uint8_t byte = uint8_t(text[i]);
            targets.push_back({prefix_of(c, base, cutter), byte});
            if (i + 1 == text.size()) break;  // nothing is asked of the model after the last byte
            const int count = cutter.push(byte, patches + closed);
            if (count == 0) continue;
            if (!state) {
                state = &slots[used++ % slots.size()];
                *state = here.trunk;
            }
            std::fill_n(states + closed, count, state);
            closed += count;
            base = scratch.bases.data() + (closed - 1) * c.bases();
        }
    }
    run();
}

}  // namespace plm::infer
