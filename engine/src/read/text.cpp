#include "text.h"

#include <algorithm>

#include "text/patches.h"

namespace plm::read {
namespace {

constexpr int kLongestRun = 6;  // characters of a match from which on longer ones count alike
constexpr int kNear = 20;       // characters on either side whose matches count as near
enum Feature { kShared, kPair, kTriple, kRun, kNearMatches, kTitle, kQuestion, kAlways };

// Case and width do not matter.
char32_t folded(char32_t c) {
    if (c >= 0xFF01 && c <= 0xFF5E) c -= 0xFEE0;
    return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

Characters folded(const Characters& text) {
    Characters out = text;
    for (char32_t& c : out) c = folded(c);
    return out;
}

int character_row(char32_t c, int rows) {
    return static_cast<int>((c < 0x10000 ? c : c * 31u) % static_cast<uint32_t>(rows));
}

// For each character of the text, the length of the longest run around it that stands in the question.
std::vector<int> matched_runs(const Characters& question, const Characters& text) {
    const size_t n = text.size(), q = question.size();
    std::vector<int> runs(n), next(q + 1), here(q + 1);
    for (size_t i = n; i-- > 0;) {  // here[j]: how far text from i and question from j agree
        int longest = 0;
        for (size_t j = 0; j < q; ++j) {
            here[j] = text[i] == question[j] ? next[j + 1] + 1 : 0;
            longest = std::max(longest, here[j]);
        }
        for (size_t k = i; k < i + static_cast<size_t>(longest); ++k) runs[k] = std::max(runs[k], longest);
        std::swap(here, next);
    }
    return runs;
}

struct Builder {
    const ReaderConfig& config;
    Batch& batch;

    void add_rows(int sequence, const Characters& text) {
        batch.sizes[static_cast<size_t>(sequence)] = static_cast<int>(text.size());
        const size_t at = static_cast<size_t>(sequence) * static_cast<size_t>(batch.length);
        char32_t before = 0;
        for (size_t t = 0; t < text.size(); ++t) {
            batch.ids[at + t] = character_row(text[t], config.characters);
            batch.bigrams[at + t] =
                static_cast<int>(mix_hashes(before, text[t]) % static_cast<uint32_t>(config.bigrams));
            batch.reversed[at + t] = static_cast<int>(at + text.size() - 1 - t);
            before = text[t];
        }
    }

    float* features(int sequence, size_t t) {
        return batch.features.data() +
               (static_cast<size_t>(sequence) * static_cast<size_t>(batch.length) + t) * kReaderFeatures;
    }

    void add_question(int sequence, const Characters& text) {
        add_rows(sequence, text);
        for (size_t t = 0; t < text.size(); ++t)
            features(sequence, t)[kQuestion] = features(sequence, t)[kAlways] = 1.0f;
    }

    void add_passage(int sequence, const Characters& question, const Passage& passage) {
        const Characters text = folded(passage.text);
        add_rows(sequence, text);
        const std::vector<int> runs = matched_runs(question, text);
        const int n = static_cast<int>(text.size());
        int near = 0;
        for (int t = 0; t < std::min(n, kNear); ++t) near += runs[static_cast<size_t>(t)] >= 2;
        for (int t = 0; t < n; ++t) {
            const int run = runs[static_cast<size_t>(t)];
            if (t + kNear < n) near += runs[static_cast<size_t>(t + kNear)] >= 2;
            if (t - kNear > 0) near -= runs[static_cast<size_t>(t - kNear - 1)] >= 2;
            float* f = features(sequence, static_cast<size_t>(t));
            f[kShared] = run >= 1, f[kPair] = run >= 2, f[kTriple] = run >= 3;
            f[kRun] = static_cast<float>(std::min(run, kLongestRun)) / kLongestRun;
            f[kNearMatches] = static_cast<float>(near) / 10.0f;
            f[kTitle] = t < passage.begin, f[kAlways] = 1.0f;
        }
    }
};

}  // namespace

Batch batch_of(const ReaderConfig& config, const std::vector<const Example*>& examples) {
    Batch batch;
    batch.questions = static_cast<int>(examples.size());
    size_t longest = 1;
    for (size_t i = 0; i < examples.size(); ++i) {
        const Example* example = examples[i];
        const int base = batch.passages();
        longest = std::max(longest, example->question.size());
        for (const Passage& passage : example->passages) {
            longest = std::max(longest, passage.text.size());
            batch.owner.push_back(static_cast<int>(i));
            batch.begin.push_back(passage.begin);
        }
        std::vector<Span>& answers = batch.answers.emplace_back();
        for (Span span : example->answers) {
            if (span.last - span.first >= config.longest) continue;
            span.passage += base;
            answers.push_back(span);
        }
        batch.answerable.push_back(!example->answers.empty());
    }
    batch.length = static_cast<int>(longest);
    const size_t rows = static_cast<size_t>(batch.sequences()) * longest;
    batch.sizes.resize(static_cast<size_t>(batch.sequences()));
    batch.ids.resize(rows), batch.bigrams.resize(rows), batch.features.resize(rows * kReaderFeatures);
    batch.reversed.resize(rows);
    for (size_t i = 0; i < rows; ++i) batch.reversed[i] = static_cast<int>(i);
    Builder builder{config, batch};
    int sequence = 0, passage = batch.questions;
    for (const Example* example : examples) {
        const Characters question = folded(example->question);
        builder.add_question(sequence++, question);
        for (const Passage& p : example->passages) builder.add_passage(passage++, question, p);
    }
    return batch;
}

}  // namespace plm::read
