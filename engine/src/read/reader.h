// A trained reader: weights that any number of threads share.
#pragma once
#include <memory>
#include <mutex>

#include "network.h"

namespace plm::read {

struct Reading {
    std::vector<Quotation> spans;  // likeliest first; places count characters of the passage itself
    double answerable;             // 1 - P(nothing)
};

class Reader {
  public:
    // `weights` lie as reader_tensors says, one tensor after the other.
    Reader(const ReaderConfig& config, std::vector<float> weights, const Ops<float>& ops);

    // Up to `count` spans that do not overlap.
    Reading read(const Example& example, int count);
    // log P of each of the example's answers, in nats.
    std::vector<double> log_probabilities(const Example& example);

    const Parameters& parameters() const { return parameters_; }
    const char* isa() const { return ops_.name; }

  private:
    template <class Use>
    void run(const Example& example, Use&& use);

    ReaderConfig config_;
    const Ops<float>& ops_;
    Parameters parameters_;
    std::vector<float> weights_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<Network<float>>> idle_;
};

}  // namespace plm::read
