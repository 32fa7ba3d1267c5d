#include "lanes.h"

#include <algorithm>

#include "../splitmix.h"

namespace plm {
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
    lead.clear(), id.clear(), row.clear(), prefix_lead.clear(), prefix_pair.clear(), target.clear();
    fresh.clear();
}

void Lane::jump(const std::vector<Source>& sources, uint32_t windows) {
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
    // Runs differ in length, so that the lanes do not all jump in the same step.
    windows_left = windows / 2 + static_cast<uint32_t>(generator.uniform() * windows) + 1;
    random = generator.state;
    cutter = Utf8Cutter();
    waiting_count = 0;
    position = at, end = chosen.size;
    while (waiting_count == 0) {
        if (position >= end) position = 0;
        waiting_count = static_cast<uint8_t>(cutter.push(chosen.data[position++], waiting));
    }
}

bool Lane::fits(const std::vector<Source>& sources) const {
    if (windows_left == 0) return true;  // it jumps before it reads
    return source < sources.size() && end == sources[source].size && position <= end && waiting_count <= 2 &&
           cutter.size <= 3 && is_prefix(cutter.pending, cutter.size);
}

void Lane::begin(uint64_t from, uint64_t to) {
    cutter = Utf8Cutter();
    position = from, end = to;
    waiting_count = 1;
    waiting[0] = Character{{kEndMark, 0, 0, 0}, 1};
}

void Lane::read(const Source& text, int length, bool wrap, Batch& batch) {
    int first = static_cast<int>(batch.lead.size());
    auto rows = [&] { return static_cast<int>(batch.lead.size()) - first; };
    auto take = [&](const Character& c) { batch.lead.push_back(c.lead()), batch.id.push_back(c.id()); };
    int taken = 0;
    while (taken < waiting_count && rows() < length) take(waiting[taken++]);
    std::copy(waiting + taken, waiting + waiting_count, waiting);
    waiting_count = static_cast<uint8_t>(waiting_count - taken);
    while (waiting_count == 0) {
        if (position >= end) {
            if (!wrap) break;
            position = 0;
        }
        uint8_t byte = text.data[position++];
        batch.row.push_back(first + rows() - 1);
        batch.prefix_lead.push_back(cutter.prefix_lead());
        batch.prefix_pair.push_back(cutter.prefix_pair());
        batch.target.push_back(byte);
        Character closed[2];
        int count = cutter.push(byte, closed);
        for (int i = 0; i < count; ++i) {
            if (rows() < length) {
                take(closed[i]);
            } else {
                waiting[waiting_count++] = closed[i];
            }
        }
    }
    while (rows() < length) take(Character{{kEndMark, 0, 0, 0}, 1});
}

}  // namespace plm
