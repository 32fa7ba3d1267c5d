#include "trainer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

namespace plm::read {
namespace {

constexpr size_t kPool = 8;  // batches drawn together
constexpr size_t kLongestText = 4096;

size_t longest_passage(const Example& e) {
    size_t longest = e.question.size();
    for (const Passage& p : e.passages) longest = std::max(longest, p.text.size());
    return longest;
}

void check(const Example& e) {
    if (e.question.empty() || e.passages.empty())
        throw std::invalid_argument("a question and a passage are needed");
    if (longest_passage(e) > kLongestText)
        throw std::invalid_argument("a text is longer than 4096 characters");
    for (const Passage& p : e.passages) {
        if (p.begin < 0 || static_cast<size_t>(p.begin) >= p.text.size())
            throw std::invalid_argument("a passage is empty");
    }
    for (const Span& s : e.answers) {
        const bool there = s.passage >= 0 && static_cast<size_t>(s.passage) < e.passages.size();
        if (!there || s.first < e.passages[static_cast<size_t>(s.passage)].begin || s.last < s.first ||
            static_cast<size_t>(s.last) >= e.passages[static_cast<size_t>(s.passage)].text.size()) {
            throw std::invalid_argument("an answer lies outside its passage");
        }
    }
}

Settings checked(const Settings& s) {
    if (s.shards < 1 || s.batch_size < 1 || s.batch_size % s.shards != 0)
        throw std::invalid_argument("batch_size must be a multiple of shards");
    if (s.passages < 1) throw std::invalid_argument("passages must be at least 1");
    return s;
}

}  // namespace

Trainer::Trainer(const ReaderConfig& config, const Settings& settings, const Ops<float>& ops)
    : config_(config),
      settings_(checked(settings)),
      ops_(ops),
      parameters_(reader_tensors(config)),
      optimizer(ops, parameters_, settings.optimizer, settings.shards, settings.seed) {
    if (ops.memory->device) throw std::runtime_error("readers are trained on the CPU alone");
    for (int g = 0; g < settings.shards; ++g)
        networks_.push_back(std::make_unique<Network<float>>(ops_, config_, parameters_));
    after_.random = settings.seed;
}

int Trainer::add_source(double weight) {
    if (sources_.size() == std::size(start_.examples))
        throw std::invalid_argument("too many sources of examples");
    sources_.push_back({weight, {}});
    return static_cast<int>(sources_.size()) - 1;
}

void Trainer::add(int source, Example example) {
    check(example);
    sources_.at(static_cast<size_t>(source)).examples.push_back(std::move(example));
}

// Each pass over a source visits every example once, in an order that looks random.
const Example& Trainer::example(int source, uint64_t number) const {
    const std::vector<Example>& all = sources_[static_cast<size_t>(source)].examples;
    const uint64_t n = all.size();
    uint64_t stride = static_cast<uint64_t>(0.6180339887 * static_cast<double>(n)) | 1;
    while (std::gcd(stride, n) != 1) stride += 2;
    SplitMix64 pass{settings_.seed + number / n};
    return all[(number % n * stride + pass.next() % n) % n];
}

Example Trainer::shortened(const Example& e, SplitMix64& random) const {
    const size_t most = static_cast<size_t>(settings_.passages);
    if (e.passages.size() <= most) return e;
    std::vector<int> order(e.passages.size());
    std::iota(order.begin(), order.end(), 0);
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.next() % i]);
    const int gold = e.answers.empty() ? -1 : e.answers[0].passage;
    std::stable_partition(order.begin(), order.end(), [&](int p) { return p == gold; });
    Example out{e.question, {}, {}};
    for (size_t i = 0; i < most; ++i) {
        out.passages.push_back(e.passages[static_cast<size_t>(order[i])]);
        for (Span s : e.answers) {
            if (s.passage != order[i]) continue;
            s.passage = static_cast<int>(i);
            out.answers.push_back(s);
        }
    }
    return out;
}

void Trainer::draw() {
    start_ = after_, start_.done = 0;
    SplitMix64 random{start_.random};
    double total = 0;
    for (const Source& s : sources_) total += s.examples.empty() ? 0.0 : s.weight;
    if (total <= 0) throw std::logic_error("nothing to train on");
    std::vector<Example> drawn;
    const size_t size = static_cast<size_t>(settings_.batch_size);
    while (drawn.size() < kPool * size) {
        double at = random.uniform() * total;
        size_t source = 0;
        for (size_t i = 0; i < sources_.size(); ++i) {
            if (sources_[i].examples.empty()) continue;
            source = i;
            if ((at -= sources_[i].weight) < 0) break;
        }
        drawn.push_back(shortened(example(static_cast<int>(source), after_.examples[source]++), random));
    }
    std::stable_sort(drawn.begin(), drawn.end(), [](const Example& a, const Example& b) {
        return longest_passage(a) < longest_passage(b);
    });
    pool_.clear();
    for (size_t i = 0; i < kPool; ++i) {
        pool_.emplace_back(std::make_move_iterator(drawn.begin() + static_cast<ptrdiff_t>(i * size)),
                           std::make_move_iterator(drawn.begin() + static_cast<ptrdiff_t>((i + 1) * size)));
    }
    for (size_t i = kPool; i > 1; --i) std::swap(pool_[i - 1], pool_[random.next() % i]);
    after_.random = random.next();
}

void Trainer::move_to(const Position& position) {
    after_ = position;
    draw();
    start_.done = std::min<uint64_t>(position.done, kPool);
}

std::vector<std::vector<Example>> Trainer::next_batch() {
    if (pool_.empty() || start_.done == kPool) draw();
    const std::vector<Example>& batch = pool_[start_.done++];
    const size_t each = batch.size() / networks_.size();
    std::vector<std::vector<Example>> shards;
    for (size_t i = 0; i < networks_.size(); ++i) {
        const auto from = batch.begin() + static_cast<ptrdiff_t>(i * each);
        shards.emplace_back(from, from + static_cast<ptrdiff_t>(each));
    }
    return shards;
}

Progress Trainer::step(float rate) {
    const std::vector<std::vector<Example>> shards = next_batch();
    std::vector<double> nats(shards.size());
    const double scale = 1.0 / settings_.batch_size;
    const float* weights = optimizer.weights.data();
    optimizer.parallel(static_cast<int>(shards.size()), [&](int g, int) {
        std::vector<const Example*> examples;
        for (const Example& e : shards[static_cast<size_t>(g)]) examples.push_back(&e);
        const Batch batch = batch_of(config_, examples);
        float* gradients = optimizer.cleared_gradients(g);
        Dropout dropout{settings_.dropout,
                        {settings_.seed + optimizer.steps * 1000003u + static_cast<uint64_t>(g)}};
        Network<float>& network = *networks_[static_cast<size_t>(g)];
        const auto spans = network.forward(weights, batch, &dropout);
        nats[static_cast<size_t>(g)] = network.backward(weights, gradients, batch, spans, scale);
    });
    const double loss = std::accumulate(nats.begin(), nats.end(), 0.0) * scale;
    if (!std::isfinite(loss)) throw std::runtime_error("the loss is not finite: lower the learning rate");
    return {loss, settings_.batch_size, optimizer.step(rate)};
}

}  // namespace plm::read
