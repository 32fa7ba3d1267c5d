#include "optimizer.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <thread>

namespace plm::train {
namespace {
constexpr size_t kUpdateBlock =
    1 << 16;  // parameters per task of the update: fixed, so that sums are reproducible
}

Optimizer::Optimizer(const Ops<float>& ops, const Parameters& parameters, const OptimizerSettings& settings,
                     int groups, uint64_t seed)
    : weights(ops), moment1(ops), moment2(ops), ops_(ops), settings_(settings) {
    const size_t n = parameters.size();
    std::vector<float> start(n);
    parameters.initialize(start.data(), seed);
    weights.write(start.data(), n), moment1.zero(n), moment2.zero(n);
    for (const Tensor& t : parameters.tensors()) {
        int count = std::max(t.spec.stacked, 1), rows = t.spec.stacked ? t.spec.shape[0] / count : 0;
        size_t size = t.size / count;
        for (int i = 0; i < count; ++i) {
            (rows ? matrices_ : others_)
                .push_back({t.offset + i * size, size, rows, rows ? t.spec.shape[1] : 0,
                            t.spec.decays ? settings.decay : 0.0f});
        }
    }
    for (int g = 0; g < groups; ++g) gradients_.emplace_back(ops, n);
    size_t largest = 0, all = 0;
    for (const Piece& p : matrices_) {
        size_t space = matrix(p).space();
        largest = std::max(largest, space), all += space;
    }
    if (ops.memory->device)
        spaces_.emplace_back(ops, all);
    else
        for (int t = 0; t < settings.threads; ++t) spaces_.emplace_back(ops, largest);
}

float* Optimizer::cleared_gradients(int group) {
    gradients_[group].zero(weights.size());
    return gradients_[group].data();
}

double Optimizer::step(float rate) {
    double norm = sum_gradients();
    update(rate, norm > settings_.clip ? static_cast<float>(settings_.clip / norm) : 1.0f);
    return norm;
}

void Optimizer::parallel(int tasks, const std::function<void(int, int)>& task) {
    std::atomic<int> next{0};
    auto work = [&](int thread) {
        for (int i; (i = next++) < tasks;) task(i, thread);
    };
    std::vector<std::thread> others;
    for (int t = 1; t < static_cast<int>(spaces_.size()) && t < tasks; ++t) others.emplace_back(work, t);
    work(0);
    for (std::thread& t : others) t.join();
}

// Leaves the sum in the first shard's gradients; returns its norm.
double Optimizer::sum_gradients() {
    size_t n = weights.size(), block = ops_.memory->device ? n : kUpdateBlock;
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

void Optimizer::update(float rate, float clip) {
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

MuonMatrix<float> Optimizer::matrix(const Piece& p) {
    return {weights.data() + p.offset,
            moment1.data() + p.offset,
            gradients_[0].data() + p.offset,
            p.rows,
            p.columns,
            p.decay};
}

}  // namespace plm::train
