#include "infer_network.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "../infer/open_patch.h"
#include "../infer/trunk_state.h"
#include "../infer/vector_ops.h"
#include "sampler_state.h"

#define RUN(name, ...) plm_cuda::check(::name(__VA_ARGS__, stream_.handle()), #name)

namespace plm::infer {
namespace {

using plm_cuda::Scratch;

constexpr int kBlockRows = 16;       // patches that a block of the trunk's kernel takes at a time
constexpr size_t kPromptRows = 256;  // of one text, in one launch
constexpr double kBitsPerNat = 1.4426950408889634;

HeadRow head_row(int slot, const PatchCutter& cutter) {
    HeadRow row{slot, cutter.open_size(), {}};
    std::copy_n(cutter.open(), row.size, row.open);
    return row;
}

void check_shared_memory(const InferModel& model) {
    const size_t wanted = std::max(trunk_step_shared(model), head_step_shared(model));
    const size_t most = plm_cuda::shared_memory();
    if (wanted > most)
        throw plm_cuda::Error("CUDA: the model is too wide for " + plm_cuda::device_name() + ": " +
                              std::to_string((wanted + 1023) / 1024) +
                              " KB of a block's shared memory are needed, and there are " +
                              std::to_string(most / 1024));
}

}  // namespace

class CudaNetwork::CudaState : public Network::State {
  public:
    CudaState(CudaNetwork& network, int slot_)
        : State(Encoding::kUtf8),
          cutter(cutter_of(network.weights_.config)),
          slot(slot_),
          network_(network) {}
    ~CudaState() override {
        const std::lock_guard<std::mutex> lock(network_.mutex_);
        network_.idle_.push_back(slot);
    }
    std::unique_ptr<State> clone() const override {
        const std::lock_guard<std::mutex> lock(network_.mutex_);
        const int other = network_.take_slot();
        auto made = std::make_unique<CudaState>(network_, other);
        network_.stream_.copy(network_.memory(other), network_.memory(slot), network_.layout_.size);
        made->cutter = cutter, made->text = text;
        return made;
    }

    std::string save() const override {
        const std::lock_guard<std::mutex> lock(network_.mutex_);
        std::string out(network_.layout_.saved, '\0');
        network_.stream_.read(out.data(), network_.memory(slot), out.size());
        save_cutter(&out, cutter);
        return out;
    }

    void restore(const std::string& bytes, const TextCutter& pending) override {
        const Config& c = network_.weights_.config;
        const size_t size = network_.layout_.saved;
        if (bytes.size() != size + sizeof(OpenPatch))
            throw std::invalid_argument("the state has another size");
        if (!TrunkState(c).restore(bytes.data(), size))
            throw std::invalid_argument("the state holds a value that is not finite or too large");
        cutter = restored_cutter(c, bytes.data() + size, pending.utf8());
        const std::lock_guard<std::mutex> lock(network_.mutex_);
        network_.stream_.write(network_.memory(slot), bytes.data(), size);
        network_.restore_base(slot);
    }

    // Moves both cutters on.
    int push(uint8_t byte, Patch closed[2]) {
        Character characters[2];
        text.push(byte, characters);
        return cutter.push(byte, closed);
    }

    PatchCutter cutter;
    const int slot;

  private:
    CudaNetwork& network_;
};

// Those of one text side by side.
struct CudaNetwork::Rows {
    const Config& c;
    std::vector<int> slots, ids;
    std::vector<int> starts{0};  // of the blocks

    size_t size() const { return slots.size(); }

    void add(int slot, const Patch& patch) {
        slots.push_back(slot);
        ids.resize(ids.size() + kPatchIds, -1);
        int* row = &ids[ids.size() - kPatchIds];
        row[0] = patch.bytes[0], row[1] = patch.row(c.characters);
        if (c.bigrams) row[2] = int(patch.pair % uint32_t(c.bigrams));
        if (c.trigrams) row[3] = int(patch.triple % uint32_t(c.trigrams));
        for (int i = 0; c.pieces && i < patch.pieces(); ++i) row[4 + i] = patch.piece_row(i, c.pieces);
    }
    // The rows of a text are complete: before `more` of the next, a new block if the last is full.
    void close(size_t more) {
        if (more == 0 || size() + more - size_t(starts.back()) > kBlockRows) starts.push_back(int(size()));
    }
};

CudaNetwork::CudaNetwork(const Config& config, const std::function<TensorView(const std::string&)>& tensor)
    : weights_(stream_, config, tensor), layout_(weights_.model) {
    check_shared_memory(weights_.model);
    const int slot = take_slot();
    start_ = std::make_unique<CudaState>(*this, slot);
    stream_.zero(memory(slot), layout_.size);
    const uint8_t mark = kEndMark;
    read(*start_, &mark, 1, nullptr);
}

CudaNetwork::~CudaNetwork() {
    start_.reset();
}

const VectorOps& CudaNetwork::vector_ops() const {
    return vector_ops_portable;
}

std::unique_ptr<Network::State> CudaNetwork::begin() {
    return start_->clone();
}

// The caller holds the mutex, but in the constructor.
int CudaNetwork::take_slot() {
    if (idle_.empty()) {
        const int more = std::max(slots_, 16);
        auto* grown = static_cast<char*>(stream_.allocate(size_t(slots_ + more) * layout_.size));
        if (states_) {
            stream_.copy(grown, states_, size_t(slots_) * layout_.size);
            stream_.release(states_);
        }
        states_ = grown;
        for (int i = more; i-- > 0;) idle_.push_back(slots_ + i);
        slots_ += more;
    }
    const int slot = idle_.back();
    idle_.pop_back();
    return slot;
}

// bases (rows, views * head_width), or nullptr if only the states' own are wanted
void CudaNetwork::step(const Rows& rows, float* bases) {
    const Scratch<int> ids(stream_, rows.ids.data(), rows.ids.size());
    const Scratch<int> slots(stream_, rows.slots.data(), rows.size());
    const Scratch<int> starts(stream_, rows.starts.data(), rows.starts.size());
    RUN(trunk_step, states_, bases, &weights_.model, ids, slots, starts, int(rows.starts.size()) - 1);
}

// A snapshot does not hold it.
void CudaNetwork::restore_base(int slot) {
    const Scratch<int> one(stream_, &slot, 1);
    RUN(trunk_base, states_, &weights_.model, one);
}

void CudaNetwork::read(State& given, const uint8_t* bytes, size_t size, double* bits) {
    const std::lock_guard<std::mutex> lock(mutex_);
    auto& state = static_cast<CudaState&>(given);
    const size_t V = size_t(weights_.config.bases());
    for (size_t done = 0; done < size;) {
        Rows rows{weights_.config, {}, {}};
        std::vector<HeadRow> before;
        const size_t begin = done;
        while (done < size && rows.size() + 2 <= kPromptRows) {  // one byte may close two patches
            before.push_back(head_row(-1 - int(rows.size()), state.cutter));
            Patch closed[2];
            const int count = state.push(bytes[done++], closed);
            for (int i = 0; i < count; ++i) rows.add(state.slot, closed[i]);
        }
        rows.close(0);
        // The base from before these patches, then that after each.
        const Scratch<float> bases(stream_, bits ? (rows.size() + 1) * V : 1);
        if (bits) stream_.copy(bases, memory(state.slot) + layout_.base, V * sizeof(float));
        if (rows.size()) step(rows, bits ? bases + V : nullptr);
        if (bits) score(bits + begin, bases, before, bytes + begin);
    }
}

void CudaNetwork::score(double* bits, const float* bases, const std::vector<HeadRow>& before,
                        const uint8_t* bytes) {
    const size_t M = before.size();
    const std::vector<int> wanted(bytes, bytes + M);
    const Scratch<HeadRow> rows(stream_, before.data(), M);
    const Scratch<int> targets(stream_, wanted.data(), M);
    const Scratch<Cost> out(stream_, M);
    RUN(head_logits, nullptr, out, states_, bases, &weights_.model, rows, targets, int(M));
    std::vector<Cost> costs(M);
    stream_.read(costs.data(), out, M * sizeof(Cost));
    for (size_t i = 0; i < M; ++i) {
        bits[i] = (std::log(costs[i].sum) + costs[i].drop) * kBitsPerNat;
        if (!std::isfinite(bits[i])) throw std::domain_error("the model's output is not finite");
    }
}

void CudaNetwork::predict(float* logits, State* const states[], size_t M) {
    if (M == 0) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<HeadRow> before;
    for (size_t m = 0; m < M; ++m) {
        const auto& state = static_cast<const CudaState&>(*states[m]);
        before.push_back(head_row(state.slot, state.cutter));
    }
    const Scratch<HeadRow> rows(stream_, before.data(), M);
    const Scratch<float> out(stream_, M * kBytes);
    RUN(head_logits, out, nullptr, states_, nullptr, &weights_.model, rows, nullptr, int(M));
    stream_.read(logits, out, M * kBytes * sizeof(float));
}

void CudaNetwork::sample(SampleRequest requests[], size_t M) {
    if (M == 0) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    SamplerStates samplers(requests, M);
    for (size_t m = 0; m < M; ++m) {
        const auto& state = static_cast<const CudaState&>(*requests[m].state);
        samplers.rows[m].at = head_row(state.slot, state.cutter);
        if (weights_.config.patch == PatchRule::kByte) samplers.rows[m].most = 1;  // the trunk reads each
    }
    const Scratch<SamplerState> rows(stream_, samplers.rows.data(), M);
    const Scratch<Repeat> repeats(stream_, samplers.repeats.data(), samplers.repeats.size());
    const Scratch<double> penalties(stream_, samplers.penalties.data(), samplers.penalties.size());
    RUN(head_step, rows, states_, &weights_.model, repeats,
        samplers.penalties.empty() ? nullptr : static_cast<double*>(penalties), int(M),
        samplers.most_repeats);
    stream_.read(samplers.rows.data(), rows, M * sizeof(SamplerState));
    samplers.give(requests);
}

void CudaNetwork::advance(State* const states[], const uint8_t bytes[], size_t M) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Rows rows{weights_.config, {}, {}};
    for (size_t m = 0; m < M; ++m) {
        auto& state = static_cast<CudaState&>(*states[m]);
        Patch closed[2];
        const int count = state.push(bytes[m], closed);
        if (rows.size() && count) rows.close(size_t(count));
        for (int i = 0; i < count; ++i) rows.add(state.slot, closed[i]);
    }
    if (rows.size() == 0) return;
    rows.close(0);
    step(rows, nullptr);
}

}  // namespace plm::infer
