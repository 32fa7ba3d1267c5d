// Reads the sequences of a batch: each goes through the texts and adds one window of characters a step.
#pragma once
#include <cstdint>
#include <vector>

#include "parameters.h"
#include "text/patches.h"

namespace plm::train {

struct Source {
    const uint8_t* data;
    size_t size;
    double weight;
};

// One window of several sequences: M = B * length characters, and every byte that is predicted from them.
struct Batch {
    std::vector<int> lead, id, bigram, trigram;  // (M) rows of the embeddings
    std::vector<int> piece, piece_of;            // rows of the pieces' table, and which patch each belongs to
    std::vector<int> row;                        // (N) which patch a byte follows, times views, plus its view
    std::vector<int> prefix_lead, prefix_pair, prefix, suffix;  // (N) what of the next patch is known
    std::vector<unsigned char> target;                          // (N) the byte
    std::vector<int> reset;  // the sequences that begin here, from an empty state
    uint64_t bytes = 0;      // read; as many as `target` has, or more
    void clear();
};

// Plain numbers only: a checkpoint stores it as it lies in memory.
struct SequenceReader {
    uint64_t random = 0;
    uint64_t source = 0, position = 0, end = 0;  // end: where reading stops (evaluation) or wraps (training)
    uint32_t windows_left = 0;                   // until a jump to another place
    float asked = 1;                             // share of the bytes of questions that are predicted
    uint8_t asking = 0;                          // 1 inside a user's turn
    uint8_t waiting_count = 0;                   // patches closed but not yet part of a window
    Patch waiting[3] = {};
    PatchCutter cutter;

    explicit SequenceReader(const Config& config = {}, float questions = 1) : asked(questions) {
        cutter.rule = config.patch, cutter.longest = static_cast<uint8_t>(config.longest);
    }
    // Jumps to a random place of a random source, at the start of a document if one begins soon after it.
    void jump(const std::vector<Source>& sources, uint32_t windows);
    // Begins at `position` as a document does: with an end mark and an empty state.
    void begin(uint64_t from, uint64_t to);
    // Whether a reader from a checkpoint points into these texts.
    bool fits(const std::vector<Source>& sources) const;
    // Appends one window to the batch. A reader whose text has ended pads it with end marks that predict
    // nothing.
    void read(const Source& source, const Config& config, int length, bool wrap, Batch& batch);

  private:
    void take(const Patch& patch, const Config& config, Batch& batch);
    void predict(uint8_t byte, int patch, const Config& config, Batch& batch) const;
    bool predicts(uint8_t byte);
    void restart(uint64_t at, uint64_t stop);
};

}  // namespace plm::train
