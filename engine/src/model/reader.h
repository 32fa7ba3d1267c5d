// The sizes and tensors of a reader: the network that finds the span of a passage that answers a question.
#pragma once
#include <string>
#include <vector>

#include "tensors.h"

namespace plm {

constexpr int kReaderFeatures = 8;  // of a character, as read/text.h computes them

struct ReaderConfig {
    int width, layers, hidden, embedding, keys;
    int characters, bigrams;  // rows of the tables
    int longest;              // characters of a span
};

// In the order of the forward pass. std::invalid_argument names a size that no reader can have.
std::vector<TensorSpec> reader_tensors(const ReaderConfig& config);
// What the blocks of a trunk ask of a config.
Config block_config(const ReaderConfig& config);

}  // namespace plm
