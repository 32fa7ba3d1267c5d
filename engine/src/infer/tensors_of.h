// The tensors of a model as the native modules get them from Python.
#pragma once
#include <pybind11/numpy.h>

#include <string>
#include <vector>

#include "weights.h"

namespace plm::infer {

template <typename T>
pybind11::array_t<T, pybind11::array::c_style> array_of(const pybind11::handle& object,
                                                        const std::string& name) {
    using Array = pybind11::array_t<T, pybind11::array::c_style>;
    if (!pybind11::isinstance<Array>(object))
        throw pybind11::type_error("tensor " + name + " has the wrong type");
    return pybind11::reinterpret_borrow<Array>(object);
}

// A tensor is an array of float32, or a pair of int8 values and float32 scales.
inline TensorView view_of(const pybind11::dict& tensors, const std::string& name) {
    if (!tensors.contains(name)) throw pybind11::key_error("tensor " + name + " is missing");
    const pybind11::object value = tensors[name.c_str()];
    if (!pybind11::isinstance<pybind11::tuple>(value)) {
        const auto floats = array_of<float>(value, name);
        return {nullptr, floats.data(), 0, size_t(floats.size())};
    }
    const auto pair = value.cast<pybind11::tuple>();
    if (pair.size() != 2) throw pybind11::type_error("tensor " + name + " must be values and scales");
    const auto quantized = array_of<int8_t>(pair[0], name);
    const auto scales = array_of<float>(pair[1], name);
    return {quantized.data(), scales.data(), size_t(quantized.size()), size_t(scales.size())};
}

// engine/model/config.py has checked more; what would be a memory error is checked again.
inline Config checked(const Config& c) {
    if (c.mixers.find_first_not_of("ra") != std::string::npos || c.mixers.empty() || c.layers < 0)
        throw std::invalid_argument("impossible config");
    std::vector<int> sizes{c.width, c.state, c.hidden, c.head_width, c.head_hidden};
    if (c.attention_layers() > 0) sizes.insert(sizes.end(), {c.head_size, c.window});
    for (const int size : sizes)
        if (size < 16 || size % 16 != 0) throw std::invalid_argument("every width must be a multiple of 16");
    for (const int count : {c.head_layers, c.bigrams, c.trigrams, c.pieces, c.embedding, c.prefixes, c.skip})
        if (count < 0) throw std::invalid_argument("impossible config");
    if (c.embedding % 16 != 0 || c.views < 1 || c.window < 1 || c.heads < 1 || c.characters < 256 ||
        c.longest < 1 || c.longest > kLongestRun)
        throw std::invalid_argument("impossible config");
    return c;
}

}  // namespace plm::infer
