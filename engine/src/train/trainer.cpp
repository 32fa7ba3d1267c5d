#include "trainer.h"

#include <atomic>
#include <cmath>
#include <stdexcept>
#include <thread>

namespace plm::train {
namespace {
constexpr size_t kUpdateBlock =
    1 << 16;  // parameters per task of the update: fixed, so that sums are reproducible
}

Trainer::Trainer(const Config& config, const Settings& settings, const Ops<float>& ops)
    : weights(ops),
      moment1(ops),
      moment2(ops),
      config_(config),
      settings_(settings),
      ops_(ops),
      parameters_(config) {
    if (settings.length < 2) throw std::invalid_argument("window must have at least 2 characters");
    if (settings.shards < 1 || settings.batch_size % settings.shards != 0) {
        throw std::invalid_argument("batch_size must be a multiple of shards");
    }
    size_t n = parameters_.size();
    std::vector<float> start(n);
    parameters_.initialize(start.data(), settings.seed);
    weights.write(start.data(), n), moment1.zero(n), moment2.zero(n);
    for (const Tensor& t : parameters_.tensors()) {
        int count = std::max(t.spec.stacked, 1), rows = t.spec.stacked ? t.spec.shape[0] / count : 0;
        size_t size = t.size / count;
        for (int i = 0; i < count; ++i) {
            (rows ? matrices_ : others_)
                .push_back({t.offset + i * size, size, rows, rows ? t.spec.shape[1] : 0,
                            t.spec.decays ? settings.decay : 0.0f});
        }
    }
    batches_.resize(ops.memory->device ? 1 : settings.shards);
    for (int g = 0; g < groups(); ++g) {
        networks_.push_back(std::make_unique<Network<float>>(ops_, config_, parameters_));
        gradients_.emplace_back(ops, n);
    }
    size_t largest = 0, all = 0;
    for (const Piece& p : matrices_) {
        size_t space = matrix(p).space();
        largest = std::max(largest, space), all += space;
    }
    if (ops.memory->device)
        spaces_.emplace_back(ops, all);
    else
        for (int t = 0; t < settings.threads; ++t) spaces_.emplace_back(ops, largest);
    readers_.resize(settings.batch_size, SequenceReader(config));
    for (int i = 0; i < settings.batch_size; ++i) {
        readers_[i].random =
            settings.seed * 0x9E3779B97F4A7C15ull + static_cast<uint64_t>(i) * 0xD1B54A32D192ED03ull;
    }
}

void Trainer::parallel(int tasks, const std::function<void(int, int)>& task) {
    std::atomic<int> next{0};
    auto work = [&](int thread) {
        for (int i; (i = next++) < tasks;) task(i, thread);
    };
    std::vector<std::thread> others;
    for (int t = 1; t < static_cast<int>(spaces_.size()) && t < tasks; ++t) others.emplace_back(work, t);
    work(0);
    for (std::thread& t : others) t.join();
}

void Trainer::gather() {
    for (Batch& batch : batches_) batch.clear();
    for (int i = 0; i < settings_.batch_size; ++i) {
        SequenceReader& reader = readers_[i];
        int group = i / per_group(), place = i % per_group();
        if (reader.windows_left == 0) {
            reader.jump(sources_, settings_.run_windows);
            networks_[group]->forget(place);
            batches_[group].reset.push_back(place);
        }
        --reader.windows_left;
        reader.read(sources_[reader.source], config_, settings_.length, true, batches_[group]);
    }
}

Progress Trainer::step(float rate) {
    if (sources_.empty()) throw std::logic_error("no text to train on");
    gather();
    Progress progress{0, 0, 0};
    for (const Batch& batch : batches_) progress.bytes += batch.target.size();
    float scale = 1.0f / static_cast<float>(progress.bytes);
    std::vector<double> nats(batches_.size());
    parallel(groups(), [&](int g, int) {
        gradients_[g].zero(parameters_.size());
        nats[g] = networks_[g]->forward(weights.data(), batches_[g], per_group(), settings_.length);
        networks_[g]->backward(weights.data(), gradients_[g].data(), batches_[g], scale);
    });
    for (double n : nats) progress.nats += n;
    if (!std::isfinite(progress.nats))
        throw std::runtime_error("the loss is not finite: lower the learning rate");
    double norm = progress.gradient_norm = sum_gradients();
    update(rate, norm > settings_.clip ? static_cast<float>(settings_.clip / norm) : 1.0f);
    return progress;
}

// Leaves the sum in the first shard's gradients; returns its norm.
double Trainer::sum_gradients() {
    size_t n = parameters_.size(), block = ops_.memory->device ? n : kUpdateBlock;
    int blocks = static_cast<int>((n + block - 1) / block);
    std::vector<double> squares(blocks);
    parallel(blocks, [&](int b, int) {
        size_t begin = b * block, count = std::min(n - begin, block);
        float* sum = gradients_[0].data() + begin;
        for (size_t g = 1; g < gradients_.size(); ++g) ops_.add(sum, gradients_[g].data() + begin, count);
        squares[b] = ops_.sum_of_squares(sum, count);
    });
    double norm = std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0));
    if (!std::isfinite(norm)) throw std::runtime_error("a gradient is not finite: lower the learning rate");
    return norm;
}

void Trainer::update(float rate, float clip) {
    ++steps;
    float c1 =
        static_cast<float>(1.0 - std::pow(static_cast<double>(settings_.beta1), static_cast<double>(steps)));
    float c2 =
        static_cast<float>(1.0 - std::pow(static_cast<double>(settings_.beta2), static_cast<double>(steps)));
    std::vector<MuonMatrix<float>> matrices;
    for (const Piece& p : matrices_) matrices.push_back(matrix(p));
    const int count = static_cast<int>(matrices.size()), each = ops_.memory->device ? count : 1;
    const int tasks = count ? count / each : 0;
    parallel(tasks + static_cast<int>(others_.size()), [&](int i, int thread) {
        if (i < tasks) {
            ops_.muon_update(ops_, &matrices[i * each], each, spaces_[thread].data(), rate,
                             settings_.momentum, clip);
            return;
        }
        const Piece& p = others_[i - tasks];
        ops_.adamw_update(weights.data() + p.offset, moment1.data() + p.offset, moment2.data() + p.offset,
                          gradients_[0].data() + p.offset, p.size, rate, settings_.beta1, settings_.beta2,
                          settings_.epsilon, p.decay, clip, c1, c2);
    });
}

MuonMatrix<float> Trainer::matrix(const Piece& p) {
    return {weights.data() + p.offset,
            moment1.data() + p.offset,
            gradients_[0].data() + p.offset,
            p.rows,
            p.columns,
            p.decay};
}

std::pair<double, double> Trainer::evaluate(const Source& text, const uint8_t* counted) {
    struct Sum {
        double nats = 0;
        uint64_t bytes = 0;
        double bits() const { return bytes ? nats / std::log(2.0) / static_cast<double>(bytes) : 0.0; }
    };
    std::vector<Sum> all(batches_.size()), marked(batches_.size());
    parallel(groups(), [&](int g, int) {
        Network<float> network(ops_, config_, parameters_);
        std::vector<SequenceReader> readers(per_group(), SequenceReader(config_));
        for (int i = 0; i < per_group(); ++i) {
            size_t k = static_cast<size_t>(g) * per_group() + i, count = settings_.batch_size;
            readers[i].begin(text.size * k / count, text.size * (k + 1) / count);
        }
        std::vector<uint64_t> places;  // of the bytes whose losses the network gives
        for (Batch batch;;) {
            batch.clear(), places.clear();
            for (SequenceReader& reader : readers) {
                uint64_t from = reader.position;
                reader.read(text, config_, settings_.length, false, batch);
                for (; from < reader.position; ++from) places.push_back(from);
            }
            if (batch.target.empty()) break;
            all[g].nats += network.forward(weights.data(), batch, per_group(), settings_.length);
            all[g].bytes += batch.target.size();
            for (size_t i = 0; counted != nullptr && i < places.size(); ++i) {
                if (counted[places[i]]) marked[g].nats += network.losses()[i], ++marked[g].bytes;
            }
        }
    });
    for (int g = 1; g < groups(); ++g) {
        all[0].nats += all[g].nats, all[0].bytes += all[g].bytes;
        marked[0].nats += marked[g].nats, marked[0].bytes += marked[g].bytes;
    }
    return {all[0].bits(), marked[0].bits()};
}

std::vector<std::pair<float*, size_t>> Trainer::carried_parts() {
    std::vector<std::pair<float*, size_t>> parts;
    int per_shard = settings_.batch_size / settings_.shards;
    for (int first = 0; first < settings_.batch_size; first += per_shard) {
        size_t place = static_cast<size_t>(first % per_group());
        for (const Carried<float>& c : networks_[first / per_group()]->carried()) {
            size_t all = static_cast<size_t>(per_group()) * c.per_sequence;
            if (c.values->size() != all) c.values->zero(all);
            parts.emplace_back(c.values->data() + place * c.per_sequence,
                               static_cast<size_t>(per_shard) * c.per_sequence);
        }
    }
    return parts;
}

std::vector<float> Trainer::carried() {
    std::vector<float> all;
    for (const auto& [data, n] : carried_parts()) {
        all.resize(all.size() + n);
        ops_.memory->read(all.data() + all.size() - n, data, n * sizeof(float));
    }
    return all;
}

void Trainer::carry(const std::vector<float>& values) {
    size_t at = 0;
    for (const auto& [data, n] : carried_parts()) {
        if (at + n > values.size()) throw std::invalid_argument("checkpoint: carried states are too short");
        ops_.memory->write(data, values.data() + at, n * sizeof(float));
        at += n;
    }
    if (at != values.size()) throw std::invalid_argument("checkpoint: carried states are too long");
}

}  // namespace plm::train
