#include "wygpt_penalty.h"

#include <algorithm>
#include <array>

namespace plm::infer {
namespace {

// e^100 stands for all that is larger: no byte comes back from there, and sums stay far from infinity.
constexpr int kLongest = 272;

// exp(l / e) - 1 by l, without the library's exp: its last bit differs between machines.
const std::array<double, kLongest + 1> kCost = [] {
    std::array<double, kLongest + 1> cost{};
    double power = 1.0;
    for (int l = 1; l <= kLongest; ++l) cost[size_t(l)] = (power *= 1.4446678610097661) - 1.0;
    return cost;
}();

}  // namespace

void WygptPenalty::read(uint8_t byte) {
    // A match before k grows by one if the new byte stands just before k, and else is gone.
    text_.push_back(byte);
    match_.push_back(0);
    for (size_t k = text_.size() - 1; k > 0; --k) match_[k] = text_[k - 1] == byte ? match_[k - 1] + 1 : 0;
    match_[0] = 0;
}

void WygptPenalty::penalties(double out[256]) const {
    const size_t n = text_.size();
    std::fill_n(out, 256, 0.0);
    for (size_t k = 0; k < n; ++k)
        out[text_[k]] += kCost[size_t(std::min(match_[k] + 1, kLongest))] / double(n - k);
}

void WygptPenalty::apply(double logits[256]) const {
    double penalty[256];
    penalties(penalty);
    for (int b = 0; b < 256; ++b) logits[b] -= penalty[b];
}

}  // namespace plm::infer
