#include "trainer.h"

#include <cmath>
#include <stdexcept>

namespace plm::train {
// What runs independently: shards, or all of them together on a device.
int Trainer::check(const Settings& settings, const Ops<float>& ops) {
    if (settings.length < 2) throw std::invalid_argument("window must have at least 2 characters");
    if (settings.shards < 1 || settings.batch_size % settings.shards != 0) {
        throw std::invalid_argument("batch_size must be a multiple of shards");
    }
    if (!(settings.answer_weight >= 1)) throw std::invalid_argument("answer_weight must be 1 or more");
    return ops.memory->device ? 1 : settings.shards;
}

Trainer::Trainer(const Config& config, const Settings& settings, const Ops<float>& ops)
    : config_(config),
      settings_(settings),
      ops_(ops),
      parameters_(config),
      groups_(check(settings, ops)),
      optimizer(ops, parameters_, settings.optimizer, groups_, settings.seed),
      batches_(size_t(groups_)) {
    for (int g = 0; g < groups_; ++g)
        networks_.push_back(std::make_unique<Network<float>>(ops_, config_, parameters_));
    readers_.resize(settings.batch_size, SequenceReader(config, 1 / settings.answer_weight));
    for (int i = 0; i < settings.batch_size; ++i) {
        readers_[i].random =
            settings.seed * 0x9E3779B97F4A7C15ull + static_cast<uint64_t>(i) * 0xD1B54A32D192ED03ull;
    }
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
    Progress progress{0, 0, 0, 0};
    for (const Batch& batch : batches_) {
        progress.bytes += batch.target.size(), progress.read += batch.bytes;
    }
    float scale = 1.0f / static_cast<float>(progress.bytes);
    std::vector<double> nats(batches_.size());
    const float* weights = optimizer.weights.data();
    optimizer.parallel(groups_, [&](int g, int) {
        float* gradients = optimizer.cleared_gradients(g);
        nats[g] = networks_[g]->forward(weights, batches_[g], per_group(), settings_.length);
        networks_[g]->backward(weights, gradients, batches_[g], scale);
    });
    for (double n : nats) progress.nats += n;
    if (!std::isfinite(progress.nats))
        throw std::runtime_error("the loss is not finite: lower the learning rate");
    progress.gradient_norm = optimizer.step(rate);
    return progress;
}

std::pair<double, double> Trainer::evaluate(const Source& text, const uint8_t* counted) {
    struct Sum {
        double nats = 0;
        uint64_t bytes = 0;
        double bits() const { return bytes ? nats / std::log(2.0) / static_cast<double>(bytes) : 0.0; }
    };
    std::vector<Sum> all(batches_.size()), marked(batches_.size());
    optimizer.parallel(groups_, [&](int g, int) {
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
            all[g].nats += network.forward(optimizer.weights.data(), batch, per_group(), settings_.length);
            all[g].bytes += batch.target.size();
            for (size_t i = 0; counted != nullptr && i < places.size(); ++i) {
                if (counted[places[i]]) marked[g].nats += network.losses()[i], ++marked[g].bytes;
            }
        }
    });
    for (int g = 1; g < groups_; ++g) {
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
