// Trains a reader on questions with passages and answers.
#pragma once
#include "network.h"
#include "train/optimizer.h"

namespace plm::read {

struct Settings {
    int batch_size, shards;
    int passages;   // of an example that a step reads: those with an answer first, then others at random
    float dropout;  // share of numbers left out
    uint64_t seed;
    train::OptimizerSettings optimizer;
};

struct Progress {
    double nats;  // mean loss of an example
    int examples;
    double gradient_norm;
};

// Where training is: plain numbers, stored in a checkpoint as they lie in memory.
struct Position {
    uint64_t random;        // of the draws of the pool at hand
    uint64_t done;          // batches of it that were read
    uint64_t examples[16];  // drawn from each source before it
};

class Trainer {
  public:
    Trainer(const ReaderConfig& config, const Settings& settings, const Ops<float>& ops);
    // A source of examples that takes `weight` of the draws; returns its number.
    int add_source(double weight);
    // std::invalid_argument for an example that cannot be read, saying why.
    void add(int source, Example example);
    Progress step(float rate);

    const Parameters& parameters() const { return parameters_; }
    const char* isa() const { return ops_.name; }
    Position position() const { return start_; }
    void move_to(const Position& position);

  private:
    struct Source {
        double weight;
        std::vector<Example> examples;
    };
    void draw();
    const Example& example(int source, uint64_t number) const;
    Example shortened(const Example& example, SplitMix64& random) const;
    std::vector<std::vector<Example>> next_batch();

    ReaderConfig config_;
    Settings settings_;
    const Ops<float>& ops_;
    Parameters parameters_;

  public:
    train::Optimizer optimizer;

  private:
    std::vector<Source> sources_;
    std::vector<std::unique_ptr<Network<float>>> networks_;  // one a shard
    // Batches drawn together: examples of like length share one, which saves padding.
    std::vector<std::vector<Example>> pool_;
    Position start_{};  // where the pool began, and how much of it was read
    Position after_{};  // where the next one begins
};

}  // namespace plm::read
