// What inference reads and never writes: a model's tensors, matrices packed for the chosen kernels.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cpu_vnni/kernels.h"
#include "elementwise.h"
#include "patches.h"

namespace plm {

// As engine/config.py has it.
struct Config {
    int width, layers, state, hidden, head_width, head_hidden, head_layers;
    PatchRule patch = PatchRule::kCharacter;
    int longest = 7;
    int characters = 4096, bigrams = 0, trigrams = 0, pieces = 0, embedding = 0;  // tables of patches
    int prefixes = 0, views = 1, skip = 0;                                        // the head's
    std::string mixers = "r";
    int heads = 4, head_size = 32, window = 64;  // of attention

    int embedding_width() const { return embedding ? embedding : width; }
    int bases() const { return views * head_width; }
    bool attends(int layer) const { return mixers[size_t(layer) % mixers.size()] == 'a'; }
    int attention_layers() const {
        int count = 0;
        for (int i = 0; i < layers; ++i) count += attends(i);
        return count;
    }
};

// A tensor as it comes from the model file: int8 values with a scale for each row, or floats alone.
struct TensorView {
    const int8_t* quantized;
    const float* floats;  // the scales, where there are int8 values
    size_t quantized_count, float_count;
};

// weight[N,K] int8, packed for one table of kernels; scale[N].
struct Matrix {
    int N = 0, K = 0;
    std::unique_ptr<void, void (*)(void*)> packed{nullptr, std::free};
    std::vector<float> scale;
};

// What weights of every model are made with. Throws std::invalid_argument for an instruction set that cannot
// run here; the widest float code that goes with the integer kernels is taken: lowering those lowers this
// too.
const cpu_vnni_kernels* select_kernels(const std::string& isa);
const Elementwise* select_elementwise(const cpu_vnni_kernels* kernels);
Matrix pack_matrix(const cpu_vnni_kernels* kernels, const TensorView& view, int N, int K);

// An embedding table [rows, width], row-major.
struct Table {
    int width = 0;
    std::vector<int8_t> rows;
    std::vector<float> scale;

    const int8_t* row(int i) const { return rows.data() + size_t(i) * size_t(width); }
};

struct SwiGlu {
    std::vector<float> norm;
    Matrix up, down;
};

struct Recurrence {
    std::vector<float> norm, taps, bias;  // taps: [3][D], oldest character first
    Matrix in, out;
};

struct Attention {
    std::vector<float> norm, taps, bias;  // bias: [heads][window]
    Matrix in, out;
};

// A layer has one of the two, `slot` counts the layers of its kind.
struct Layer {
    int slot;
    std::unique_ptr<Recurrence> recurrence;
    std::unique_ptr<Attention> attention;
    SwiGlu swiglu;
};

class Weights {
  public:
    // `tensor` finds a tensor of the model by its name; the views need to last only during construction.
    // `isa` as for cpu_vnni_select. Throws std::invalid_argument for one that cannot run here (with the
    // reason) and for a tensor of another size than the config says.
    Weights(const Config& config, const std::function<TensorView(const std::string&)>& tensor,
            const std::string& isa);

    Config config;
    const cpu_vnni_kernels* kernels;
    const Elementwise* elementwise;
    // Tables that the config does not ask for are empty.
    Table lead_embedding, char_embedding, bigram_embedding, trigram_embedding, piece_embedding;
    Table prefix_lead, prefix_pair, prefix;
    std::vector<Layer> layers;
    std::vector<float> norm, head_norm;
    Matrix input, head_base, head_skip, head_out;  // the first and the third only if asked for
    std::vector<SwiGlu> head_layers;
};

}  // namespace plm
