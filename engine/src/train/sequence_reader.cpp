#include "sequence_reader.h"

#include <algorithm>

#include "../splitmix.h"

namespace plm::train {
namespace {

constexpr size_t kDocumentSearch = 8192;  // bytes looked through for the start of a document after a jump

// The start mark of the next document (two end marks follow each other there), or the next character.
uint64_t landing(const Source& source, uint64_t position) {
    uint64_t stop = std::min<uint64_t>(source.size, position + kDocumentSearch);
    for (uint64_t i = position + 1; i < stop; ++i) {
        if (source.data[i] == kEndMark && source.data[i - 1] == kEndMark) return i;
    }
    while (position < source.size && (source.data[position] & 0xC0) == 0x80) ++position;
    return position < source.size ? position : 0;
}

}  // namespace

void Batch::clear() {
    for (auto* rows : {&lead, &id, &bigram, &trigram, &piece, &piece_of, &row, &prefix_lead, &prefix_pair,
                       &prefix, &suffix}) {
        rows->clear();
    }
    target.clear(), reset.clear(), bytes = 0;
}

void SequenceReader::jump(const std::vector<Source>& sources, uint32_t windows) {
    SplitMix64 generator{random};
    double total = 0;
    for (const Source& s : sources) total += s.weight;
    double pick = generator.uniform() * total;
    for (source = 0; source + 1 < sources.size() && pick >= sources[source].weight; ++source) {
        pick -= sources[source].weight;
    }
    const Source& chosen = sources[source];
    uint64_t at =
        landing(chosen, static_cast<uint64_t>(generator.uniform() * static_cast<double>(chosen.size)));
    // Runs differ in length, so that the sequences do not all jump in the same step.
    windows_left = windows / 2 + static_cast<uint32_t>(generator.uniform() * windows) + 1;
    random = generator.state;
    restart(at, chosen.size);
    while (waiting_count == 0) {
        if (position >= end) position = 0;
        waiting_count = static_cast<uint8_t>(cutter.push(chosen.data[position++], waiting));
    }
}

bool SequenceReader::fits(const std::vector<Source>& sources) const {
    if (windows_left == 0) return true;  // it jumps before it reads
    return source < sources.size() && end == sources[source].size && position <= end && waiting_count <= 2 &&
           cutter.run_size <= kLongestRun && cutter.character.size <= 3 &&
           is_prefix(cutter.character.pending, cutter.character.size);
}

void SequenceReader::restart(uint64_t at, uint64_t stop) {
    cutter.character = Utf8Cutter();
    cutter.run_size = 0;
    cutter.before[0] = cutter.before[1] = 0;
    waiting_count = 0, asking = 0;
    position = at, end = stop;
}

void SequenceReader::begin(uint64_t from, uint64_t to) {
    restart(from, to);
    waiting_count = static_cast<uint8_t>(cutter.push(kEndMark, waiting));
}

void SequenceReader::take(const Patch& p, const Config& c, Batch& batch) {
    int patch = static_cast<int>(batch.lead.size());
    batch.lead.push_back(p.bytes[0]), batch.id.push_back(p.row(c.characters));
    if (c.bigrams) batch.bigram.push_back(static_cast<int>(p.pair % static_cast<uint32_t>(c.bigrams)));
    if (c.trigrams) batch.trigram.push_back(static_cast<int>(p.triple % static_cast<uint32_t>(c.trigrams)));
    for (int i = 0; c.pieces && i < p.pieces(); ++i) {
        batch.piece.push_back(p.piece_row(i, c.pieces)), batch.piece_of.push_back(patch);
    }
}

// The byte behind `patch` of the batch and the bytes that stand open.
void SequenceReader::predict(uint8_t byte, int patch, const Config& c, Batch& batch) const {
    int view = std::min(cutter.open_size(), c.views - 1);
    OpenRows open = cutter.open_rows(c.prefixes);
    batch.row.push_back(patch * c.views + view);
    batch.prefix_lead.push_back(open.lead), batch.prefix_pair.push_back(open.pair);
    if (c.prefixes) batch.prefix.push_back(open.prefix), batch.suffix.push_back(open.suffix);
    batch.target.push_back(byte);
}

// Whether this byte is one to predict: one in a user's turn with the odds of `asked`, any other for certain.
bool SequenceReader::predicts(uint8_t byte) {
    const bool question = asking != 0;
    if (byte >= kUserMark) asking = byte == kUserMark;
    if (!question || asked >= 1) return true;
    SplitMix64 generator{random};
    const bool chosen = generator.uniform() < asked;
    random = generator.state;
    return chosen;
}

void SequenceReader::read(const Source& text, const Config& c, int length, bool wrap, Batch& batch) {
    int first = static_cast<int>(batch.lead.size());
    const size_t targets = batch.target.size();
    auto rows = [&] { return static_cast<int>(batch.lead.size()) - first; };
    int taken = 0;
    while (taken < waiting_count && rows() < length) take(waiting[taken++], c, batch);
    std::copy(waiting + taken, waiting + waiting_count, waiting);
    waiting_count = static_cast<uint8_t>(waiting_count - taken);
    while (waiting_count == 0) {
        if (position >= end) {
            if (!wrap) break;
            position = 0;
        }
        uint8_t byte = text.data[position++];
        ++batch.bytes;
        // The first of a window always, so that no batch is empty.
        if (predicts(byte) || batch.target.size() == targets) predict(byte, first + rows() - 1, c, batch);
        Patch closed[2];
        int count = cutter.push(byte, closed);
        for (int i = 0; i < count; ++i) {
            if (rows() < length) {
                take(closed[i], c, batch);
            } else {
                waiting[waiting_count++] = closed[i];
            }
        }
    }
    while (rows() < length) take(Patch{{kEndMark}, 1, 0, 0}, c, batch);
}

}  // namespace plm::train
