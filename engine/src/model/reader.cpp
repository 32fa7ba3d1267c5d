#include "reader.h"

#include <cmath>
#include <stdexcept>
#include <utility>

namespace plm {
namespace {

constexpr int kTaps = 3;

void check(const ReaderConfig& c) {
    struct Size {
        const char* name;
        int value, least, most, step;
    };
    const Size sizes[] = {
        {"width", c.width, 16, 1024, 16},        {"layers", c.layers, 2, 32, 2},
        {"hidden", c.hidden, 16, 4096, 16},      {"embedding", c.embedding, 16, 1024, 16},
        {"keys", c.keys, 16, 1024, 16},          {"characters", c.characters, 256, 1 << 20, 1},
        {"bigrams", c.bigrams, 256, 1 << 20, 1}, {"longest", c.longest, 1, 4096, 1}};
    for (const Size& size : sizes) {
        if (size.value < size.least || size.value > size.most || size.value % size.step != 0) {
            throw std::invalid_argument(
                "reader: " + std::string(size.name) + " must lie between " + std::to_string(size.least) +
                " and " + std::to_string(size.most) +
                (size.step > 1 ? " and be a multiple of " + std::to_string(size.step) : "") + ", not " +
                std::to_string(size.value));
        }
    }
}

struct Builder {
    std::vector<TensorSpec> tensors;

    void table(const std::string& name, int rows, int width, float deviation) {
        tensors.push_back({name, {rows, width}, Start::kNormal, deviation, false});
    }
    void matrix(const std::string& name, int rows, int columns, float gain = 1.0f, int stacked = 1) {
        const float deviation = gain / std::sqrt(static_cast<float>(columns));
        tensors.push_back({name, {rows, columns}, Start::kNormal, deviation, true, stacked});
    }
    void vector(const std::string& name, int size, Start start, float deviation = 0) {
        tensors.push_back({name, {size}, start, deviation, false});
    }
};

}  // namespace

std::vector<TensorSpec> reader_tensors(const ReaderConfig& c) {
    check(c);
    Builder b;
    const int D = c.width, E = c.embedding;
    const float gain = 1.0f / std::sqrt(2.0f * static_cast<float>(c.layers));
    b.table("characters", c.characters, E, 0.1f);
    b.table("bigrams", c.bigrams, E, 0.03f);
    b.matrix("align", E, E);
    b.matrix("input", D, 2 * E + kReaderFeatures);
    for (int l = 0; l < c.layers; ++l) {
        if (l == c.layers / 2) {
            b.vector("question.norm", D, Start::kOnes);
            b.matrix("question.query", c.keys, D);
            b.matrix("question.key", c.keys, D);
            b.matrix("question.value", D, D);
            b.matrix("question.out", D, D, gain);
        }
        const std::string layer = "layers." + std::to_string(l) + ".", mixer = layer + "recurrence.";
        b.vector(mixer + "norm", D, Start::kOnes);
        b.tensors.push_back({mixer + "conv", {D, kTaps}, Start::kLastTap, 0, false});
        b.matrix(mixer + "in", 3 * D, D, 1.0f, 3);
        b.vector(mixer + "bias", D, Start::kTimescales);
        b.matrix(mixer + "out", D, D, gain);
        b.vector(layer + "swiglu.norm", D, Start::kOnes);
        b.matrix(layer + "swiglu.up", 2 * c.hidden, D, 1.0f, 2);
        b.matrix(layer + "swiglu.down", D, c.hidden, gain);
    }
    b.vector("norm", D, Start::kOnes);
    b.vector("pool", D, Start::kNormal, 0.02f);
    b.matrix("first.question", D, D);
    b.matrix("last.question", D, D);
    b.vector("first.bias", D, Start::kNormal, 0.02f);
    b.vector("last.bias", D, Start::kNormal, 0.02f);
    b.vector("nothing", 1, Start::kNormal, 0.0f);
    return std::move(b.tensors);
}

Config block_config(const ReaderConfig& c) {
    Config blocks{};
    blocks.width = blocks.state = c.width, blocks.layers = c.layers, blocks.hidden = c.hidden;
    return blocks;
}

}  // namespace plm
