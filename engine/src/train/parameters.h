// Where a model's tensors lie in one flat array. Everything else (checkpoints, the optimiser, gradients) is
// written over that flat array.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "model/tensors.h"

namespace plm::train {

struct Tensor {
    TensorSpec spec;
    size_t offset, size;
};

class Parameters {
  public:
    explicit Parameters(const Config& config);
    explicit Parameters(std::vector<TensorSpec> specs);
    const std::vector<Tensor>& tensors() const { return tensors_; }
    size_t size() const { return size_; }
    size_t offset(const std::string& name) const;
    // Fills a flat array of size() with the starting values of `seed`.
    void initialize(float* weights, uint64_t seed) const;

  private:
    std::vector<Tensor> tensors_;
    size_t size_ = 0;
};

}  // namespace plm::train
