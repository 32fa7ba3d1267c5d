// The model itself: the trunk moves on by one patch, the head predicts one byte.
//
// Both work on a batch of rows. A row of the trunk is one patch (patches.h) together with the state that it
// moves on: rows of different sessions, or patches of one session in the order of the text, or a mixture. All
// but the recurrences is one matrix product over the rows, and every row is quantised by itself, so a result
// does not depend on what else is in the batch, to the last bit.
#pragma once

#include <memory>
#include <vector>

#include "trunk_state.h"

namespace plm::infer {

constexpr int kMaxRows = 64;

// Memory that a call of step or head works in. One call at a time; nothing in it lives on.
class Scratch {
  public:
    explicit Scratch(const Config& config);

    // [kMaxRows][...] each
    AlignedVector<float> x, embedded, bases, logits;
    AlignedVector<int32_t> sums;
    AlignedVector<int8_t> quantized;
    AlignedVector<float> scale;  // of each quantized row
    std::vector<int> ahead;      // rows of the same state just before each row
    AlignedVector<float> row;    // one row of floats on its way to being quantised
    AlignedVector<float> start;  // a base from before the batch
};

// Moves states[m] on by patches[m] for m = 0..M-1, in this order. From row `first` on, the base is
// computed: it is left in scratch.bases[m] and becomes the state's.
void step(const Weights& weights, Scratch& scratch, TrunkState* const states[], const Patch patches[], int M,
          int first);

// The base of a state out of a snapshot, which does not hold it.
void restore_base(const Weights& weights, Scratch& scratch, TrunkState& state);

// What is known before a byte: the base after all closed patches, in the view that goes with the open bytes,
// and the rows of the prefix tables.
struct Prefix {
    const float* base;
    OpenRows rows;
};

// scratch.logits[m][256] for the byte that follows prefixes[m].
void head(const Weights& weights, Scratch& scratch, const Prefix prefixes[], int M);

}  // namespace plm::infer
