// An example as Python gives it.
#pragma once
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include "text.h"

namespace plm::read {

using Passages = std::vector<std::pair<Characters, Characters>>;  // title, text
using Spans = std::vector<std::tuple<int, int, int>>;             // passage, first, end (not included)

// std::invalid_argument for an answer in a passage that is not there.
inline Example example_of(Characters question, const Passages& passages, const Spans& answers) {
    Example e{std::move(question), {}, {}};
    for (const auto& [title, text] : passages)
        e.passages.push_back({title + U"\n" + text, static_cast<int>(title.size()) + 1});
    for (const auto& [passage, first, end] : answers) {
        if (passage < 0 || static_cast<size_t>(passage) >= passages.size())
            throw std::invalid_argument("an answer names a passage that is not there");
        const int begin = e.passages[static_cast<size_t>(passage)].begin;
        e.answers.push_back({passage, begin + first, begin + end - 1});
    }
    return e;
}

}  // namespace plm::read
