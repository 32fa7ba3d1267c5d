#include "reader.h"

#include <stdexcept>

namespace plm::read {

Reader::Reader(const ReaderConfig& config, std::vector<float> weights, const Ops<float>& ops)
    : config_(config), ops_(ops), parameters_(reader_tensors(config)), weights_(std::move(weights)) {
    if (weights_.size() != parameters_.size()) throw std::invalid_argument("reader: wrong number of weights");
}

template <class Use>
void Reader::run(const Example& example, Use&& use) {
    std::unique_ptr<Network<float>> network;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!idle_.empty()) network = std::move(idle_.back()), idle_.pop_back();
    }
    if (!network) network = std::make_unique<Network<float>>(ops_, config_, parameters_);
    const Batch batch = batch_of(config_, {&example});
    use(network->forward(weights_.data(), batch).front());
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(std::move(network));
}

Reading Reader::read(const Example& example, int count) {
    if (example.question.empty() || example.passages.empty()) return {{}, 0.0};
    Reading reading;
    run(example, [&](const SpanDistribution<float>& spans) {
        reading.spans = spans.best(count);
        reading.answerable = -std::expm1(spans.log_probability_of_nothing());
    });
    for (Quotation& q : reading.spans) {
        const int begin = example.passages[static_cast<size_t>(q.span.passage)].begin;
        q.span.first -= begin, q.span.last -= begin;
    }
    return reading;
}

std::vector<double> Reader::log_probabilities(const Example& example) {
    std::vector<double> out;
    run(example, [&](const SpanDistribution<float>& spans) {
        for (const Span& s : example.answers) {
            const bool possible = s.last - s.first < config_.longest;
            out.push_back(possible ? spans.log_probability(s) : -std::numeric_limits<double>::infinity());
        }
    });
    return out;
}

}  // namespace plm::read
