#include "network.h"

#include <cmath>
#include <stdexcept>

#include "elementwise.h"

namespace plm {
namespace {

constexpr double kBitsPerNat = 1.4426950408889634;

}  // namespace

void Network::score_each(const State& state, const std::vector<std::string_view>& texts, double* bits) {
    for (const std::string_view text : texts) {
        read(*state.clone(), reinterpret_cast<const uint8_t*>(text.data()), text.size(), bits);
        bits += text.size();
    }
}

double bits_of(const Elementwise& ops, const float* logits, uint8_t byte) {
    float highest;
    const double sum = ops.sum_exp(&highest, logits, kBytes);
    const double bits = (std::log(sum) + (double(highest) - double(logits[byte]))) * kBitsPerNat;
    if (!std::isfinite(bits)) throw std::domain_error("the model's output is not finite");
    return bits;
}

}  // namespace plm
