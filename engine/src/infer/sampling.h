// From 256 logits to one byte: the candidates, and a sample of them.
//
// The order is fixed: the mask of utf8.h, the repetition penalty, the choice of the candidates at temperature
// 1 (so that a high temperature flattens the distribution of plausible bytes and never admits absurd ones),
// the temperature, the sample. Same logits, options and seed: same bytes, on every machine. To that end all
// is double precision in a fixed order, with an exp and a log of our own (libm's differ in the last bit
// between machines), a generator of our own, and ties broken by the smaller byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../splitmix.h"
#include "text/text.h"
#include "vector_ops.h"
#include "wygpt_penalty.h"

namespace plm::infer {

// How the candidates are chosen; `amount` in SamplerOptions is the number in parentheses.
enum class Keep : uint8_t {
    kGreedy,   // the likeliest byte alone
    kTopE,     // the ceil(amount * exp(H)) likeliest bytes, H the entropy in nats
    kTopP,     // the likeliest bytes until their probabilities add up to amount
    kTopK,     // the amount likeliest bytes
    kMinP,     // bytes at least amount times as likely as the likeliest
    kTypical,  // bytes whose surprise is nearest to H, until their probabilities add up to amount
    kWygpt,    // wyGPT's sampler: its own penalty and the temperature first, then max(p - 1/256, 0)
};

struct SamplerOptions {
    Keep keep = Keep::kTopE;
    double amount = 1.0;
    double temperature = 1.0;         // 0 takes the likeliest candidate
    double repetition_penalty = 1.0;  // 1 is off
    int repetition_window = 64;       // characters
};

// Discourages loops in a text without forbidding it to use its words again.
//
// The usual penalty on every recent symbol does not work here: on bytes it would penalise E4 to E9, the lead
// bytes of all Chinese, and on characters the common ones, such as commas and 之. So what is penalised is
// *continuing* a repetition. If the last m characters of the answer also stand earlier in
// the window, each byte of the character that followed them there is made penalty^m times less likely (m the
// longest such match). A term said twice costs little, a loop costs more with every character until it
// breaks.
//
// Each byte, not the last alone: at the last byte, the only alternatives are unrelated characters that share
// the first bytes. In a loop the model is sure of the character, so its first byte identifies it; where the
// model is not sure, m is small, and so is the penalty on other characters with that first byte. The window
// holds this answer, never the question, whose words an answer may well repeat.
class RepetitionPenalty {
  public:
    struct Seen {
        Character character;
        int match;  // how many characters before this one are the same as the last ones of the text
    };

    RepetitionPenalty(double penalty, int window);
    // A character has been closed.
    void accept(const Character& character);
    // Lowers the logits of the bytes that, after the pending ones, continue a repetition.
    void apply(double logits[256], const uint8_t* pending, int size) const;

    double log_penalty() const { return log_penalty_; }
    const std::vector<Seen>& seen() const { return seen_; }

  private:
    double log_penalty_;
    size_t window_;
    std::vector<Seen> seen_;  // oldest first; empty for ever while the penalty is off
};

struct Distribution;

// One answer's sampler: options, generator and what the repetition penalty remembers.
class Sampler {
  public:
    // Throws std::invalid_argument for options out of range.
    Sampler(const SamplerOptions& options, uint64_t seed);

    // The next byte after those pending in `text`. Takes one number from the generator, none when greedy.
    // Throws std::domain_error for a logit that is not finite.
    uint8_t sample(const VectorOps& ops, const float logits[256], const TextCutter& text, bool end_allowed);

    // For a device that samples instead: the state that it needs, ...
    const SamplerOptions& options() const { return options_; }
    const RepetitionPenalty& repetition() const { return repetition_; }
    const WygptPenalty& wygpt() const { return wygpt_; }
    uint64_t generator() const { return generator_.state; }
    // ... and what it has sampled.
    void sampled(uint64_t generator, const uint8_t* bytes, size_t count) {
        generator_.state = generator;
        read(bytes, count);
    }

    // The probabilities that `sample` uses; exactly 0 for masked bytes and those that are no candidates.
    void probabilities(double out[256], const VectorOps& ops, const float logits[256], const TextCutter& text,
                       bool end_allowed) const;

    // Text before the first sample; used by kWygpt alone, whose penalty covers all of it.
    void read(const uint8_t* bytes, size_t size);

    // To be called with every character that the sampled bytes complete.
    void accept(const Character& character) { repetition_.accept(character); }

  private:
    void choose(Distribution& out, const VectorOps& ops, const float logits[256], const TextCutter& text,
                bool end_allowed) const;

    SamplerOptions options_;
    SplitMix64 generator_;
    RepetitionPenalty repetition_;
    WygptPenalty wygpt_;
};

}  // namespace plm::infer
