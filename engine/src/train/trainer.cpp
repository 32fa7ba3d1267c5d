#include "trainer.h"

#include <atomic>
#include <cmath>
#include <thread>

namespace plm {
namespace {
constexpr size_t kUpdateBlock =
    1 << 16;  // parameters per task of the update: fixed, so that sums are reproducible
}

Trainer::Trainer(const Config& config, const Settings& settings, const char* isa)
    : config_(config), settings_(settings), ops_(select_ops(isa)), parameters_(config) {
    if (settings.length < 2) throw std::invalid_argument("window must have at least 2 characters");
    if (settings.shards < 1 || settings.lanes % settings.shards != 0) {
        throw std::invalid_argument("lanes must be a multiple of shards");
    }
    size_t n = parameters_.size();
    weights.resize(n), moment1.resize(n), moment2.resize(n);
    parameters_.initialize(weights.data(), settings.seed);
    for (const Tensor& t : parameters_.tensors()) {
        int count = std::max(t.stacked, 1), rows = t.stacked ? t.shape[0] / count : 0;
        for (int i = 0; i < count; ++i) {
            size_t size = t.size / count;
            pieces_.push_back(
                {t.offset + i * size, size, rows, rows ? t.shape[1] : 0, t.decays ? settings.decay : 0.0f});
        }
    }
    for (int s = 0; s < settings.shards; ++s) {
        networks_.push_back(std::make_unique<Network<float>>(ops_, config_, parameters_));
        gradients_.emplace_back(n);
    }
    batches_.resize(settings.shards);
    lanes_.resize(settings.lanes, Lane(config));
    for (int i = 0; i < settings.lanes; ++i) {
        lanes_[i].random =
            settings.seed * 0x9E3779B97F4A7C15ull + static_cast<uint64_t>(i) * 0xD1B54A32D192ED03ull;
    }
}

void Trainer::parallel(int tasks, const std::function<void(int)>& task) {
    std::atomic<int> next{0};
    auto work = [&] {
        for (int i; (i = next++) < tasks;) task(i);
    };
    std::vector<std::thread> others;
    for (int t = 1; t < settings_.threads && t < tasks; ++t) others.emplace_back(work);
    work();
    for (std::thread& t : others) t.join();
}

void Trainer::gather() {
    int per_shard = settings_.lanes / settings_.shards;
    for (Batch& batch : batches_) batch.clear();
    for (int i = 0; i < settings_.lanes; ++i) {
        Lane& lane = lanes_[i];
        int shard = i / per_shard;
        if (lane.windows_left == 0) {
            lane.jump(sources_, settings_.run_windows);
            networks_[shard]->forget(i % per_shard);
            batches_[shard].fresh.push_back(i % per_shard);
        }
        --lane.windows_left;
        lane.read(sources_[lane.source], config_, settings_.length, true, batches_[shard]);
    }
}

Progress Trainer::step(float rate) {
    if (sources_.empty()) throw std::logic_error("no text to train on");
    gather();
    Progress progress{0, 0, 0};
    for (const Batch& batch : batches_) progress.bytes += batch.target.size();
    float scale = 1.0f / static_cast<float>(progress.bytes);
    std::vector<double> nats(settings_.shards);
    parallel(settings_.shards, [&](int s) {
        std::fill(gradients_[s].begin(), gradients_[s].end(), 0.0f);
        nats[s] = networks_[s]->forward(weights.data(), batches_[s], settings_.lanes / settings_.shards,
                                        settings_.length);
        networks_[s]->backward(weights.data(), gradients_[s].data(), batches_[s], scale);
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
    size_t n = parameters_.size();
    int blocks = static_cast<int>((n + kUpdateBlock - 1) / kUpdateBlock);
    std::vector<double> squares(blocks);
    float* sum = gradients_[0].data();
    parallel(blocks, [&](int b) {
        size_t end = std::min(n, (b + size_t{1}) * kUpdateBlock);
        for (size_t s = 1; s < gradients_.size(); ++s) {
            const float* other = gradients_[s].data();
            for (size_t i = b * kUpdateBlock; i < end; ++i) sum[i] += other[i];
        }
        double square = 0;
        for (size_t i = b * kUpdateBlock; i < end; ++i) square += static_cast<double>(sum[i]) * sum[i];
        squares[b] = square;
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
    parallel(static_cast<int>(pieces_.size()), [&](int i) {
        const Piece& p = pieces_[i];
        float *weight = &weights[p.offset], *m = &moment1[p.offset];
        const float* grad = &gradients_[0][p.offset];
        if (p.rows == 0) {
            ops_.adamw_update(weight, m, &moment2[p.offset], grad, p.size, rate, settings_.beta1,
                              settings_.beta2, settings_.epsilon, p.decay, clip, c1, c2);
            return;
        }
        thread_local std::vector<float> space;
        size_t side = static_cast<size_t>(std::min(p.rows, p.columns));
        space.resize(std::max(space.size(), 2 * (p.size + side * side)));
        ops_.muon_update(ops_, weight, m, grad, space.data(), p.rows, p.columns, rate, settings_.momentum,
                         p.decay, clip);
    });
}

std::pair<double, double> Trainer::evaluate(const Source& text, const uint8_t* counted) {
    struct Sum {
        double nats = 0;
        uint64_t bytes = 0;
        double bits() const { return bytes ? nats / std::log(2.0) / static_cast<double>(bytes) : 0.0; }
    };
    int shards = settings_.shards, per_shard = settings_.lanes / shards;
    std::vector<Sum> all(shards), marked(shards);
    parallel(shards, [&](int s) {
        Network<float> network(ops_, config_, parameters_);
        std::vector<Lane> readers(per_shard, Lane(config_));
        for (int i = 0; i < per_shard; ++i) {
            size_t k = static_cast<size_t>(s) * per_shard + i, count = settings_.lanes;
            readers[i].begin(text.size * k / count, text.size * (k + 1) / count);
        }
        std::vector<uint64_t> places;  // of the bytes whose losses the network gives
        for (Batch batch;;) {
            batch.clear(), places.clear();
            for (Lane& reader : readers) {
                uint64_t from = reader.position;
                reader.read(text, config_, settings_.length, false, batch);
                for (; from < reader.position; ++from) places.push_back(from);
            }
            if (batch.target.empty()) break;
            all[s].nats += network.forward(weights.data(), batch, per_shard, settings_.length);
            all[s].bytes += batch.target.size();
            for (size_t i = 0; counted != nullptr && i < places.size(); ++i) {
                if (counted[places[i]]) marked[s].nats += network.losses()[i], ++marked[s].bytes;
            }
        }
    });
    for (int s = 1; s < shards; ++s) {
        all[0].nats += all[s].nats, all[0].bytes += all[s].bytes;
        marked[0].nats += marked[s].nats, marked[0].bytes += marked[s].bytes;
    }
    return {all[0].bits(), marked[0].bits()};
}

std::vector<std::vector<float>*> Trainer::carried_parts() {
    std::vector<std::vector<float>*> parts;
    size_t per_shard = static_cast<size_t>(settings_.lanes / settings_.shards);
    for (auto& network : networks_) {
        for (const Carried<float>& c : network->carried()) {
            c.values->resize(per_shard * c.per_lane);
            parts.push_back(c.values);
        }
    }
    return parts;
}

std::vector<float> Trainer::carried() {
    std::vector<float> all;
    for (auto* part : carried_parts()) all.insert(all.end(), part->begin(), part->end());
    return all;
}

void Trainer::carry(const std::vector<float>& values) {
    size_t at = 0;
    for (auto* part : carried_parts()) {
        if (at + part->size() > values.size())
            throw std::invalid_argument("checkpoint: carried states are too short");
        std::copy_n(values.begin() + at, part->size(), part->begin());
        at += part->size();
    }
    if (at != values.size()) throw std::invalid_argument("checkpoint: carried states are too long");
}

}  // namespace plm
