#include "infer_network.h"

#include <algorithm>
#include <stdexcept>

#include "../infer/elementwise.h"
#include "../infer/open_patch.h"
#include "../infer/trunk_state.h"

#define RUN(name, ...) plm_cuda::check(::name(__VA_ARGS__, stream_.handle()), #name)

namespace plm {
namespace {

using plm_cuda::Scratch;

constexpr int kBlockRows = 16;       // patches that a block of the trunk's kernel takes at a time
constexpr size_t kPromptRows = 256;  // of one text, in one launch

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

struct CudaNetwork::Targets {
    const Config& c;
    std::vector<int> base;  // which base, in which view
    std::vector<int> lead, pair, prefix, suffix;

    size_t size() const { return base.size(); }

    void add(size_t row, const PatchCutter& cutter) {
        const OpenRows open = cutter.open_rows(c.prefixes);
        base.push_back(int(row) * c.views + std::min(cutter.open_size(), c.views - 1));
        lead.push_back(open.lead), pair.push_back(open.pair);
        prefix.push_back(open.prefix), suffix.push_back(open.suffix);
    }
};

CudaNetwork::CudaNetwork(const Config& config, const std::function<TensorView(const std::string&)>& tensor)
    : weights_(stream_, config, tensor), layout_(weights_.model) {
    const int slot = take_slot();
    start_ = std::make_unique<CudaState>(*this, slot);
    stream_.zero(memory(slot), layout_.size);
    const uint8_t mark = kEndMark;
    read(*start_, &mark, 1, nullptr);
}

CudaNetwork::~CudaNetwork() {
    start_.reset();
}

const Elementwise& CudaNetwork::elementwise() const {
    return elementwise_portable;
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
    const InferModel& m = weights_.model;
    char* state = memory(slot);
    auto* base = reinterpret_cast<float*>(state + layout_.base);
    const auto* top = reinterpret_cast<const int8_t*>(state + layout_.tops);
    const auto* scales = reinterpret_cast<const float*>(state + layout_.tail);
    const Scratch<int> sums(stream_, size_t(m.bases()));
    RUN(matmul_i8, sums, top, m.base.rows, 1, m.bases(), m.width);
    RUN(dequantize, base, sums, scales, m.base.scale, 1, m.bases(), false);
    if (!m.skip.rows) return;
    RUN(matmul_i8, sums, top + m.width, m.skip.rows, 1, m.bases(), m.embedding);
    RUN(dequantize, base, sums, scales + 1, m.skip.scale, 1, m.bases(), true);
}

// logits (targets, 256) on the host
void CudaNetwork::head(float* logits, const float* bases, const Targets& targets) {
    const InferModel& m = weights_.model;
    const int M = int(targets.size()), H = m.head_width, F = m.head_hidden;
    const size_t rows = targets.size();
    const Scratch<float> z(stream_, rows * size_t(H)), space(stream_, rows * size_t(F));
    const Scratch<float> scales(stream_, rows), out(stream_, rows * kBytes);
    const Scratch<int8_t> quantized(stream_, rows * size_t(std::max(H, F)));
    const Scratch<int> sums(stream_, rows * size_t(std::max(2 * F, kBytes)));
    bool begun = false;
    const auto add = [&](const float* table, const std::vector<int>& ids) {
        const Scratch<int> places(stream_, ids.data(), rows);
        RUN(embedding_forward, z, table, places, M, H, begun);
        begun = true;
    };
    if (weights_.prefix_lead)
        add(weights_.prefix_lead, targets.lead), add(weights_.prefix_pair, targets.pair);
    add(bases, targets.base);
    if (weights_.prefix) add(weights_.prefix, targets.prefix), add(weights_.prefix, targets.suffix);
    for (const InferSwiglu& layer : weights_.head) {
        RUN(norm_quantize, quantized, scales, z, layer.norm, M, H);
        RUN(matmul_i8, sums, quantized, layer.up.rows, M, 2 * F, H);
        const Scratch<float> inner(stream_, rows);
        RUN(swiglu_quantize, quantized, inner, space, sums, scales, layer.up.scale, M, F);
        RUN(matmul_i8, sums, quantized, layer.down.rows, M, H, F);
        RUN(dequantize, z, sums, inner, layer.down.scale, M, H, true);
    }
    RUN(norm_quantize, quantized, scales, z, m.head_norm, M, H);
    RUN(matmul_i8, sums, quantized, m.out.rows, M, kBytes, H);
    RUN(dequantize, out, sums, scales, m.out.scale, M, kBytes, false);
    stream_.read(logits, out, rows * kBytes * sizeof(float));
}

void CudaNetwork::read(State& given, const uint8_t* bytes, size_t size, double* bits) {
    const std::lock_guard<std::mutex> lock(mutex_);
    auto& state = static_cast<CudaState&>(given);
    const Config& c = weights_.config;
    for (size_t done = 0; done < size;) {
        Rows rows{c, {}, {}};
        Targets targets{c, {}, {}, {}, {}, {}};
        const size_t begin = done, V = size_t(c.bases());
        while (done < size && rows.size() + 2 <= kPromptRows) {  // one byte may close two patches
            targets.add(rows.size(), state.cutter);
            Patch closed[2];
            const int count = state.push(bytes[done++], closed);
            for (int i = 0; i < count; ++i) rows.add(state.slot, closed[i]);
        }
        rows.close(0);
        const Scratch<float> bases(stream_, bits ? (rows.size() + 1) * V : 1);
        if (bits) stream_.copy(bases, memory(state.slot) + layout_.base, V * sizeof(float));
        if (rows.size()) step(rows, bits ? bases + V : nullptr);
        if (!bits) continue;
        std::vector<float> logits(targets.size() * kBytes);
        head(logits.data(), bases, targets);
        for (size_t i = begin; i < done; ++i)
            bits[i] = bits_of(elementwise_portable, &logits[(i - begin) * kBytes], bytes[i]);
    }
}

void CudaNetwork::predict(float* logits, State* const states[], size_t M) {
    if (M == 0) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    const Config& c = weights_.config;
    const size_t V = size_t(c.bases());
    const Scratch<float> bases(stream_, M * V);
    Targets targets{c, {}, {}, {}, {}, {}};
    for (size_t m = 0; m < M; ++m) {
        const auto& state = static_cast<const CudaState&>(*states[m]);
        targets.add(m, state.cutter);
        stream_.copy(bases + m * V, memory(state.slot) + layout_.base, V * sizeof(float));
    }
    head(logits, bases, targets);
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

}  // namespace plm
