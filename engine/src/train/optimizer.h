// What turns gradients into new weights: the gradients of the shards, added in a fixed order, clipped by
// their norm, then Muon for matrices and AdamW for all else. The result does not depend on the number of
// threads.
#pragma once
#include <functional>

#include "buffer.h"
#include "parameters.h"

namespace plm::train {

struct OptimizerSettings {
    int threads;
    float beta1, beta2, epsilon, momentum, decay, clip;
};

class Optimizer {
  public:
    // `groups`: shards with gradients of their own. On a device the threads share one working space.
    Optimizer(const Ops<float>& ops, const Parameters& parameters, const OptimizerSettings& settings,
              int groups, uint64_t seed);

    // One update with the gradients as they are; returns their norm. std::runtime_error if it is not finite.
    double step(float rate);
    // task(i, thread) for each i
    void parallel(int tasks, const std::function<void(int, int)>& task);
    // The gradients of a shard, set to nothing.
    float* cleared_gradients(int group);

    Buffer<float> weights, moment1, moment2;
    uint64_t steps = 0;

  private:
    // What one thread updates at a time: a matrix by Muon, or (no rows) any numbers by AdamW.
    struct Piece {
        size_t offset, size;
        int rows, columns;
        float decay;
    };
    double sum_gradients();
    void update(float rate, float clip);
    MuonMatrix<float> matrix(const Piece& piece);

    const Ops<float>& ops_;
    OptimizerSettings settings_;
    std::vector<Piece> matrices_, others_;
    std::vector<Buffer<float>> gradients_;
    std::vector<Buffer<float>> spaces_;  // of the threads, for Muon
};

}  // namespace plm::train
