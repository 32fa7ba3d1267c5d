// A question and its passages as the rows that the network reads: a row a character.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "model/reader.h"

namespace plm::read {

using Characters = std::u32string;

struct Passage {
    Characters text;  // its title, a line end, and the passage itself
    int begin;        // the first character of the passage itself
};

struct Span {
    int passage, first, last;  // characters of Passage::text, both ends included
};

// A question with the passages that may answer it. `answers` are alternatives; none: they do not.
struct Example {
    Characters question;
    std::vector<Passage> passages;
    std::vector<Span> answers;
};

// Several examples as sequences of one length, shorter ones padded: the questions first, then the passages of
// the first question, of the second, ...
struct Batch {
    int questions = 0, length = 0;
    std::vector<int> sizes;         // (sequences) characters of each
    std::vector<int> owner, begin;  // (passages) its question; first character that a span may take
    std::vector<int> ids, bigrams;  // (sequences * length) rows of the tables
    std::vector<int> reversed;      // (sequences * length) where each row goes when the text is reversed
    std::vector<float> features;    // (sequences * length, kReaderFeatures)
    std::vector<std::vector<Span>> answers;  // (questions) `passage` counts those of the batch
    std::vector<bool> answerable;            // (questions) whether it counts as answered in the loss

    int passages() const { return static_cast<int>(owner.size()); }
    int sequences() const { return questions + passages(); }
};

Batch batch_of(const ReaderConfig& config, const std::vector<const Example*>& examples);

}  // namespace plm::read
