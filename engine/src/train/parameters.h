// What tensors a model has, where they lie in one flat array, and how they start. Everything else
// (checkpoints, the optimiser, gradients) is written over that flat array.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "../infer/patches.h"

namespace plm {

struct Config {
    int width, layers, state, hidden, head_width, head_hidden, head_layers;
    PatchRule patch = PatchRule::kCharacter;
    int longest = 7;                            // ASCII bytes of a patch by the word rule
    int characters = 4096;                      // rows of the table of patches
    int bigrams = 0, trigrams = 0, pieces = 0;  // rows of hashed tables, 0 for none
    int embedding = 0;                          // width of these tables; 0: that of the trunk
    int prefixes = 0;                           // rows of the head's table of open patches
    int views = 1;                              // bases for the head, by bytes already open
    // A letter a layer, repeated: r gated recurrence, a windowed attention, d gated delta rule, w wyGPT's
    // whole layer (for all layers or none: it brings ends of its own).
    std::string mixers = "r";
    int heads = 4, head_size = 32, window = 64;  // of attention and the delta rule
    int repeats = 1;                             // how often each layer runs, with the same weights
    char mixer(int layer) const { return mixers[static_cast<size_t>(layer) % mixers.size()]; }
    bool wygpt() const { return mixers == "w"; }
    int skip = 0;  // 1: the embeddings go into the head too
    int embedding_width() const { return embedding ? embedding : width; }
};

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
