#include "parameters.h"

#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "../splitmix.h"

namespace plm::train {
namespace {

// Box and Muller's method, one of its two numbers.
float normal(SplitMix64& random) {
    double radius = std::sqrt(-2.0 * std::log(1.0 - random.uniform()));
    return static_cast<float>(radius * std::cos(6.283185307179586 * random.uniform()));
}

// A trunk without layers is a model that inference can run and training cannot.
std::vector<TensorSpec> trainable(const Config& c) {
    for (const auto& [name, count] : {std::pair{"layers", c.layers}, std::pair{"head_layers", c.head_layers}})
        if (count < 1)
            throw std::invalid_argument("config: " + std::string(name) +
                                        " must lie between 1 and 16384, not " + std::to_string(count));
    return tensor_specs(c);
}

}  // namespace

Parameters::Parameters(const Config& config) : Parameters(trainable(config)) {}

Parameters::Parameters(std::vector<TensorSpec> specs) {
    for (TensorSpec& spec : specs) {
        const size_t size = spec.size();
        tensors_.push_back({std::move(spec), size_, size});
        size_ += size;
    }
}

size_t Parameters::offset(const std::string& name) const {
    for (const Tensor& t : tensors_) {
        if (t.spec.name == name) return t.offset;
    }
    throw std::out_of_range("no tensor " + name);
}

void Parameters::initialize(float* weights, uint64_t seed) const {
    SplitMix64 random{seed};
    for (const Tensor& t : tensors_) {
        float* w = weights + t.offset;
        for (size_t i = 0; i < t.size; ++i) {
            switch (t.spec.start) {
                case Start::kNormal:
                    w[i] = normal(random) * t.spec.deviation;
                    break;
                case Start::kOnes:
                    w[i] = 1.0f;
                    break;
                case Start::kLastTap:
                    w[i] = i % 3 == 2 ? 1.0f : 0.0f;
                    break;
                case Start::kTimescales: {
                    // Memories of 1.5 to 400 characters, spread evenly on a logarithmic scale over the
                    // channels.
                    double share = (static_cast<double>(i) + 0.5) / static_cast<double>(t.size);
                    double span = 1.5 * std::pow(400.0 / 1.5, share);
                    w[i] = static_cast<float>(std::log(span - 1.0));
                    break;
                }
            }
        }
    }
}

}  // namespace plm::train
