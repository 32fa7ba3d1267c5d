// The tensors of a model: their names, their shapes, and how training starts and updates them. The one list
// that inference (weights.cpp), training (parameters.cpp) and Python (engine/model/config.py) read.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "config.h"

namespace plm {

enum class Start { kNormal, kOnes, kLastTap, kTimescales };

struct TensorSpec {
    std::string name;
    std::vector<int> shape;  // (out, in) for matrices, (rows, width) for tables
    Start start;
    float deviation;  // of a normal start
    bool decays;      // takes weight decay: matrices do; norms, biases, taps and embeddings do not
    int stacked = 0;  // so many matrices lie one above the other, each updated by Muon; 0: AdamW updates it

    size_t size() const {
        size_t size = 1;
        for (const int n : shape) size *= size_t(n);
        return size;
    }
};

// In the order of the forward pass. std::invalid_argument names a size that no model can have.
std::vector<TensorSpec> tensor_specs(const Config& config);

}  // namespace plm
