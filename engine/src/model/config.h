// The sizes and options of a model, as engine/model/config.py explains and checks them.
#pragma once
#include <string>

#include "text/patches.h"

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
    int skip = 0;                               // 1: the embeddings go into the head too
    // A letter a layer, repeated: r gated recurrence, a windowed attention, w wyGPT's whole layer (for all
    // layers or none: it brings ends of its own).
    std::string mixers = "r";
    int heads = 4, head_size = 32, window = 64;  // of attention

    char mixer(int layer) const { return mixers[size_t(layer) % mixers.size()]; }
    bool attends(int layer) const { return mixer(layer) == 'a'; }
    bool wygpt() const { return mixers == "w"; }
    int attention_layers() const {
        int count = 0;
        for (int i = 0; i < layers; ++i) count += attends(i);
        return count;
    }
    int embedding_width() const { return embedding ? embedding : width; }
    int bases() const { return views * head_width; }
};

}  // namespace plm
