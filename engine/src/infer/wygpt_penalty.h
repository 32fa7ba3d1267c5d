// The repetition penalty of the original author's sampler: on every byte that has followed, anywhere in the
// text, what the text ends with now; the longer the match and the nearer the place, the more. At byte n it
// adds (exp(l / e) - 1) / (n - k) to the penalty of text[k], for every k, l being 1 more than the number of
// bytes before k that equal those before n.
#pragma once

#include <cstdint>
#include <vector>

namespace plm::infer {

class WygptPenalty {
  public:
    // One more byte of the text.
    void read(uint8_t byte);
    // What is to be taken from each logit.
    void penalties(double out[256]) const;
    void apply(double logits[256]) const;

  private:
    std::vector<uint8_t> text_;
    std::vector<int> match_;  // [k]: how many bytes before k equal those before the end
};

}  // namespace plm::infer
