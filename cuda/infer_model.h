// What inference works on: a model's tensors on the device, and the state of a text. For the host too.
#pragma once
#include "launch.h"

// A matrix or a table: int8 rows with a scale for each.
struct Int8Rows {
    const int8_t* rows;
    const float* scale;
};

struct InferSwiglu {
    const float* norm;
    Int8Rows up, down;  // (2 F, D), (D, F)
};

// A gated recurrence (in (3 R, D), out (D, R), bias (R)) or an attention (in ((heads + 2) d, D), out (D,
// heads d), bias (heads, window), oldest first).
struct InferLayer {
    const float *norm, *taps, *bias;  // taps (3, D), oldest first
    Int8Rows in, out;
    InferSwiglu swiglu;
    long long attends;
};

// Names as in engine/src/model/config.h; rows are nullptr for tensors that the model lacks. The two arrays of
// layers lie on the device.
struct InferModel {
    int width, layers, state, hidden, head_width, head_hidden, head_layers, embedding, views, heads,
        head_size, window, attention_layers, prefixes;
    Int8Rows tables[5];  // of leads, patches, pairs, triples, pieces: (., embedding)
    Int8Rows input;      // (width, embedding)
    const InferLayer* trunk;
    const float* norm;
    Int8Rows base, skip;                        // (views head_width, width), (., embedding)
    Int8Rows prefix_lead, prefix_pair, prefix;  // (., head_width)
    const InferSwiglu* head;
    const float* head_norm;
    Int8Rows out;  // (256, head_width)

    __host__ __device__ int bases() const { return views * head_width; }
};

// Where the parts of a state lie, in bytes. Up to `saved` it is what TrunkState::save of engine/src/infer
// writes, so that a snapshot moves between CPU and device by copying: recurrent states, histories, rings,
// their scales, the rows that the base is made of, [their two scales, the rings' position]. Then the base.
struct StateLayout {
    size_t histories, rings, scales, tops, tail, saved, base, size;
    __host__ __device__ explicit StateLayout(const InferModel& m) {
        size_t layers = static_cast<size_t>(m.layers), attention = static_cast<size_t>(m.attention_layers);
        size_t window = static_cast<size_t>(m.window);
        histories = (layers - attention) * m.state * sizeof(float);
        rings = histories + layers * 2 * m.width * sizeof(uint16_t);
        scales = rings + attention * 2 * m.head_size * window;
        tops = scales + attention * 2 * window * sizeof(uint16_t);
        tail = tops + static_cast<size_t>(m.width) + (m.skip.rows ? static_cast<size_t>(m.embedding) : 0);
        saved = tail + 2 * sizeof(float) + sizeof(unsigned);
        base = (saved + 63) / 64 * 64;
        size = (base + static_cast<size_t>(m.bases()) * sizeof(float) + 63) / 64 * 64;
    }
};

// Shared memory, in bytes, that a block of each of these wants: if the device has less, the model does
// not run there.
size_t trunk_step_shared(const InferModel& model);
size_t head_step_shared(const InferModel& model);

// Rows of the embedding tables that a patch is the sum of: lead, patch, pair and triple (-1 where the model
// has no such table), then pieces until the first -1 or the end.
constexpr int kPatchIds = 20;

// What a byte comes after. The base is that of the state at `slot`, or row -1 - slot of `bases`.
struct HeadRow {
    int slot;
    int size;                // of the open patch
    unsigned char open[16];  // its bytes
};

// What a byte costs under the full softmax: ln(sum) + drop nats, as sum_exp of vector_ops.inc adds them up.
struct Cost {
    double sum, drop;
};

// In the order of Keep in engine/src/infer/sampling.h
enum SamplingMethod { kGreedy, kTopE, kTopP, kTopK, kMinP, kTypical, kWygpt };

// A character that followed, earlier in the answer, what it ends with now: `match` characters were the same.
struct Repeat {
    unsigned char bytes[4];
    int size, match;
};

// How a text's bytes are sampled. log_penalty: of the repetition penalty, 0 for none.
struct Sampling {
    unsigned long long generator;
    double amount, temperature, log_penalty;
    int method, end_allowed;
    int repeats;  // how many there are
    int pending_size;
    unsigned char pending[4];  // bytes of the open character
};

// A text whose next character is being sampled.
struct SamplerState {
    Sampling sampling;
    HeadRow at;
    int most;                // bytes to be sampled in this launch
    int count;               // out: how many were; -1 for logits that are not finite
    unsigned char bytes[4];  // out
    Cost costs[4];           // out
};
