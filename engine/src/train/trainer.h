// Optimiser steps over batches of sequences. A batch is cut into shards with gradients of their own, which
// the threads share and which are summed in a fixed order: the result does not depend on the number of
// threads. On a device the whole batch is one shard.
#pragma once
#include <functional>
#include <utility>

#include "network.h"
#include "optimizer.h"

namespace plm::train {

struct Settings {
    int batch_size, length, shards;
    uint32_t run_windows;  // windows, on average, before a sequence jumps elsewhere
    uint64_t seed;
    float answer_weight;  // 1 or more: bytes in a user's turn are predicted once in so many times
    OptimizerSettings optimizer;
};

struct Progress {
    double nats;
    uint64_t bytes;  // predicted
    double gradient_norm;
    uint64_t read;
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
    std::vector<SequenceReader>& readers() { return readers_; }
    const std::vector<Source>& sources() const { return sources_; }
    // What the last step read, shard by shard.
    const std::vector<Batch>& batches() const { return batches_; }
    // The recurrent states of all sequences, shard by shard and layer by layer: `shards` of the settings, on
    // CPU and device alike.
    std::vector<float> carried();
    void carry(const std::vector<float>& values);

  private:
    static int check(const Settings& settings, const Ops<float>& ops);
    void gather();
    std::vector<std::pair<float*, size_t>> carried_parts();
    int per_group() const { return settings_.batch_size / groups_; }

    Config config_;
    Settings settings_;
    const Ops<float>& ops_;
    Parameters parameters_;
    int groups_;

  public:
    Optimizer optimizer;

  private:
    std::vector<Source> sources_;
    std::vector<SequenceReader> readers_;
    std::vector<std::unique_ptr<Network<float>>> networks_;  // one a group
    std::vector<Batch> batches_;
};

}  // namespace plm::train
