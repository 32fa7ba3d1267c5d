#include "tensors.h"

#include <cmath>
#include <stdexcept>
#include <utility>

namespace plm {
namespace {

constexpr int kBytes = 256, kTaps = 3;
constexpr int kLeads = kBytes + 1;  // and one row for "no pending byte"
constexpr int kPairs = 1025;        // rows for the last bytes of a prefix, and one for "no pending byte"
constexpr int kLargest = 16384;     // of any size in a config, as in engine/model/config.py

// What each layer adds to the residual stream starts small, so that the sum of all layers does not grow with
// depth.
float residual_gain(const Config& c) {
    return 1.0f / std::sqrt((c.wygpt() ? 3.0f : 2.0f) * static_cast<float>(c.layers));
}

void check_sizes(const Config& c) {
    struct Size {
        const char* name;
        int value, least;
    };
    const Size sizes[] = {{"width", c.width, 1},
                          {"layers", c.layers, 0},
                          {"state", c.state, 1},
                          {"hidden", c.hidden, 1},
                          {"head_width", c.head_width, 1},
                          {"head_hidden", c.head_hidden, 1},
                          {"head_layers", c.head_layers, 0}};
    for (const Size& size : sizes) {
        if (size.value < size.least || size.value > kLargest) {
            throw std::invalid_argument("config: " + std::string(size.name) + " must lie between " +
                                        std::to_string(size.least) + " and " + std::to_string(kLargest) +
                                        ", not " + std::to_string(size.value));
        }
    }
}

// Collects the list.
struct Builder {
    const Config& c;
    std::vector<TensorSpec> tensors;

    void add(const std::string& name, std::vector<int> shape, Start start, float deviation, bool decays,
             int stacked = 0) {
        tensors.push_back({name, std::move(shape), start, deviation, decays, stacked});
    }

    void add_matrix(const std::string& name, int rows, int columns, float gain = 1.0f, int stacked = 1) {
        const float deviation = gain / std::sqrt(static_cast<float>(columns));
        add(name, {rows, columns}, Start::kNormal, deviation, true, stacked);
    }

    void add_character_model() {
        const int E = c.embedding_width();
        add("lead_embedding", {kBytes, E}, Start::kNormal, 0.1f, false);
        add("char_embedding", {c.characters, E}, Start::kNormal, 0.1f, false);
        if (c.bigrams) add("bigram_embedding", {c.bigrams, E}, Start::kNormal, 0.03f, false);
        if (c.trigrams) add("trigram_embedding", {c.trigrams, E}, Start::kNormal, 0.03f, false);
        if (c.pieces) add("piece_embedding", {c.pieces, E}, Start::kNormal, 0.05f, false);
        if (c.embedding) add_matrix("input", c.width, E);
        for (int l = 0; l < c.layers; ++l) add_layer("layers." + std::to_string(l) + ".", c.mixer(l));
        add("norm", {c.width}, Start::kOnes, 0, false);
        add_matrix("head.base", c.views * c.head_width, c.width, 1.0f, c.views);
        if (c.skip) add_matrix("head.skip", c.views * c.head_width, E, 1.0f, c.views);
        if (c.patch != PatchRule::kByte) {
            add("head.prefix_lead", {kLeads, c.head_width}, Start::kNormal, 0.2f, false);
            add("head.prefix_pair", {kPairs, c.head_width}, Start::kNormal, 0.2f, false);
        }
        if (c.prefixes) add("head.prefix", {c.prefixes, c.head_width}, Start::kNormal, 0.1f, false);
        for (int i = 0; i < c.head_layers; ++i) {
            std::string layer = "head.layers." + std::to_string(i) + ".";
            add(layer + "norm", {c.head_width}, Start::kOnes, 0, false);
            add_matrix(layer + "up", 2 * c.head_hidden, c.head_width, 1.0f, 2);
            add_matrix(layer + "down", c.head_width, c.head_hidden, 0.5f);
        }
        add("head.norm", {c.head_width}, Start::kOnes, 0, false);
        add_matrix("head.out", kBytes, c.head_width, 0.5f, 0);
    }

    void add_layer(const std::string& layer, char mixer) {
        if (mixer == 'a') {
            std::string name = layer + "attention.";
            begin_mixer(name);
            add_matrix(name + "in", (c.heads + 2) * c.head_size, c.width, 1.0f, c.heads + 2);
            add(name + "bias", {c.heads, c.window}, Start::kNormal, 0.01f, false);
            add_matrix(name + "out", c.width, c.heads * c.head_size, residual_gain(c));
        } else {
            std::string name = layer + "recurrence.";
            begin_mixer(name);
            add_matrix(name + "in", 3 * c.state, c.width, 1.0f, 3);
            add(name + "bias", {c.state}, Start::kTimescales, 0, false);
            add_matrix(name + "out", c.width, c.state, residual_gain(c));
        }
        add(layer + "swiglu.norm", {c.width}, Start::kOnes, 0, false);
        add_matrix(layer + "swiglu.up", 2 * c.hidden, c.width, 1.0f, 2);
        add_matrix(layer + "swiglu.down", c.width, c.hidden, residual_gain(c));
    }

    void begin_mixer(const std::string& name) {
        add(name + "norm", {c.width}, Start::kOnes, 0, false);
        add(name + "conv", {c.width, kTaps}, Start::kLastTap, 0, false);
    }

    // The names are those of an imported model (engine/model/wygpt.py).
    void add_wygpt() {
        if (!c.wygpt() || c.patch != PatchRule::kByte || c.width % c.heads != 0) {
            throw std::invalid_argument(
                "config: the layer w needs mixers = \"w\", patch = \"byte\" and a width that the heads "
                "divide");
        }
        for (int l = 0; l < c.layers; ++l) {
            std::string layer = "layers." + std::to_string(l) + ".";
            add_matrix(layer + "first.in", 2 * c.width, c.width, 1.0f, 2);
            add_matrix(layer + "first.out", c.width, c.width, residual_gain(c));
            add(layer + "attention.bias", {c.heads, c.window}, Start::kNormal, 0.01f, false);
            add_matrix(layer + "attention.in", 4 * c.width, c.width, 1.0f, 4);
            add_matrix(layer + "attention.out", c.width, c.width, residual_gain(c));
            add_matrix(layer + "second.in", 2 * c.width, c.width, 1.0f, 2);
            add_matrix(layer + "second.out", c.width, c.width, residual_gain(c));
        }
        add_matrix("out", kBytes, c.width, 0.5f, 0);
    }
};

}  // namespace

std::vector<TensorSpec> tensor_specs(const Config& config) {
    check_sizes(config);
    Builder builder{config, {}};
    if (config.mixers.find('w') != std::string::npos) {
        builder.add_wygpt();
    } else {
        builder.add_character_model();
    }
    return std::move(builder.tensors);
}

}  // namespace plm
