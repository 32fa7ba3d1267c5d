// What tensors a model has, where they lie in one flat array, and how they start. Everything else
// (checkpoints, the optimiser, gradients) is written over that flat array.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "../config.h"

namespace plm {

enum class Start { kNormal, kOnes, kLastTap, kTimescales };

struct Tensor {
    std::string name;
    std::vector<int> shape;
    size_t offset, size;
    Start start;
    float deviation;  // of a normal start
    int stacked;      // so many matrices lie one above the other, each updated by Muon; 0: AdamW updates it
    bool decays;      // takes weight decay: matrices do; norms, biases, taps and embeddings do not
};

class Parameters {
  public:
    explicit Parameters(const Config& config);
    const std::vector<Tensor>& tensors() const { return tensors_; }
    size_t size() const { return size_; }
    size_t offset(const std::string& name) const;
    // Fills a flat array of size() with the starting values of `seed`.
    void initialize(float* weights, uint64_t seed) const;

  private:
    void add(const std::string& name, std::vector<int> shape, Start start, float deviation, bool decays,
             int stacked = 0);
    void add_matrix(const std::string& name, int rows, int columns, float gain = 1.0f, int stacked = 1);
    void add_wygpt(const Config& config);
    void add_layer(const Config& config, const std::string& layer, char mixer);
    void begin_mixer(const Config& config, const std::string& name);
    std::vector<Tensor> tensors_;
    size_t size_ = 0;
};

}  // namespace plm
