// Optimiser steps over batches of sequences. A batch is cut into shards with gradients of their own, which
// the threads share and which are summed in a fixed order: the result does not depend on the number of
// threads. On a device the whole batch is one shard.
#pragma once
#include <functional>
#include <utility>

#include "network.h"

namespace plm::train {

struct Settings {
    int batch_size, length, shards, threads;
    uint32_t run_windows;  // windows, on average, before a sequence jumps elsewhere
    uint64_t seed;
    float beta1, beta2, epsilon, momentum, decay, clip;
};

struct Progress {
    double nats;
    uint64_t bytes;
    double gradient_norm;
};

class Trainer {
  public:
    Trainer(const Config& config, const Settings& settings, const Ops<float>& ops);
    void add_source(const Source& source) { sources_.push_back(source); }
    Progress step(float rate);
    // Bits per byte over `text`, cut into `batch_size` pieces, each read as a document of its own.
    double evaluate(const Source& text) { return evaluate(text, nullptr).first; }
    // The same, and beside it that of the bytes with a mark other than 0 in `counted` (one for each byte).
    std::pair<double, double> evaluate(const Source& text, const uint8_t* counted);

    const Parameters& parameters() const { return parameters_; }
    const char* isa() const { return ops_.name; }
    Buffer<float> weights, moment1, moment2;
    uint64_t steps = 0;
    std::vector<SequenceReader>& readers() { return readers_; }
    const std::vector<Source>& sources() const { return sources_; }
    // What the last step read, shard by shard.
    const std::vector<Batch>& batches() const { return batches_; }
    // The recurrent states of all sequences, shard by shard and layer by layer: `shards` of the settings, on
    // CPU and device alike.
    std::vector<float> carried();
    void carry(const std::vector<float>& values);

  private:
    void gather();
    // task(i, thread) for each i
    void parallel(int tasks, const std::function<void(int, int)>& task);
    double sum_gradients();
    void update(float rate, float clip);
    std::vector<std::pair<float*, size_t>> carried_parts();
    int groups() const { return static_cast<int>(batches_.size()); }
    int per_group() const { return settings_.batch_size / groups(); }

    // What one thread updates at a time: a matrix by Muon, or (no rows) any numbers by AdamW.
    struct Piece {
        size_t offset, size;
        int rows, columns;
        float decay;
    };
    MuonMatrix<float> matrix(const Piece& piece);

    Config config_;
    Settings settings_;
    const Ops<float>& ops_;
    Parameters parameters_;
    std::vector<Piece> matrices_, others_;
    std::vector<Source> sources_;
    std::vector<SequenceReader> readers_;
    // What runs independently: a shard, or all of them on a device.
    std::vector<std::unique_ptr<Network<float>>> networks_;
    std::vector<Batch> batches_;
    std::vector<Buffer<float>> gradients_;
    std::vector<Buffer<float>> spaces_;  // of the threads, for Muon
};

}  // namespace plm::train
