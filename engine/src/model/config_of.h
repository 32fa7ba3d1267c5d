// A config as both native modules get it from Python.
#pragma once
#include <pybind11/pybind11.h>

#include <stdexcept>
#include <utility>

#include "config.h"
#include "reader.h"

namespace plm {

inline PatchRule rule_named(const std::string& name) {
    if (name == "character") return PatchRule::kCharacter;
    if (name == "word") return PatchRule::kWord;
    if (name == "byte") return PatchRule::kByte;
    throw std::invalid_argument("unknown patch '" + name + "'");
}

inline int size_of(const pybind11::dict& d, const char* name) {
    if (!d.contains(name)) throw std::invalid_argument(std::string("config: ") + name + " is missing");
    return d[name].cast<int>();
}

// From the dictionary that ReaderConfig.to_dict() makes.
inline ReaderConfig reader_config_of(const pybind11::dict& d) {
    return {size_of(d, "width"), size_of(d, "layers"),     size_of(d, "hidden"),  size_of(d, "embedding"),
            size_of(d, "keys"),  size_of(d, "characters"), size_of(d, "bigrams"), size_of(d, "longest")};
}

// From the dictionary that ModelConfig.to_dict() makes: options that it leaves out have their defaults.
// std::invalid_argument for a size that is missing. What the numbers may be is checked by who uses them.
inline Config config_of(const pybind11::dict& d) {
    const auto size = [&](const char* name) { return size_of(d, name); };
    Config c{size("width"),      size("layers"),      size("state"),      size("hidden"),
             size("head_width"), size("head_hidden"), size("head_layers")};
    const std::pair<const char*, int*> options[] = {
        {"longest", &c.longest},   {"characters", &c.characters}, {"bigrams", &c.bigrams},
        {"trigrams", &c.trigrams}, {"pieces", &c.pieces},         {"embedding", &c.embedding},
        {"prefixes", &c.prefixes}, {"views", &c.views},           {"skip", &c.skip},
        {"heads", &c.heads},       {"head_size", &c.head_size},   {"window", &c.window}};
    for (const auto& [name, value] : options)
        if (d.contains(name)) *value = d[name].cast<int>();
    if (d.contains("mixers")) c.mixers = d["mixers"].cast<std::string>();
    if (d.contains("patch")) c.patch = rule_named(d["patch"].cast<std::string>());
    return c;
}

}  // namespace plm
