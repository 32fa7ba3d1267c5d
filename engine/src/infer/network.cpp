#include "network.h"

#include <cmath>
#include <stdexcept>

#include "sampling.h"
#include "vector_ops.h"

namespace plm::infer {
namespace {

constexpr double kBitsPerNat = 1.4426950408889634;

}  // namespace

void Network::score_each(const State& state, const std::vector<std::string_view>& texts, double* bits) {
    for (const std::string_view text : texts) {
        read(*state.clone(), reinterpret_cast<const uint8_t*>(text.data()), text.size(), bits);
        bits += text.size();
    }
}

void Network::sample(SampleRequest requests[], size_t M) {
    // Kept by the thread, so that a byte allocates nothing.
    thread_local std::vector<State*> states;
    thread_local std::vector<float> logits;
    states.resize(M), logits.resize(M * kBytes);
    for (size_t m = 0; m < M; ++m) states[m] = requests[m].state;
    predict(logits.data(), states.data(), M);
    for (size_t m = 0; m < M; ++m) {
        SampleRequest& one = requests[m];
        const float* row = logits.data() + m * kBytes;
        try {
            one.bytes[0] = one.sampler->sample(vector_ops(), row, one.state->text, one.end_allowed);
            if (one.costs) one.bits[0] = cost_bits(vector_ops(), row, one.bytes[0]);
            one.count = 1;
        } catch (...) {
            one.error = std::current_exception();
        }
    }
}

double cost_bits(const VectorOps& ops, const float* logits, uint8_t byte) {
    float highest;
    const double sum = ops.sum_exp(&highest, logits, kBytes);
    const double bits = (std::log(sum) + (double(highest) - double(logits[byte]))) * kBitsPerNat;
    if (!std::isfinite(bits)) throw std::domain_error("the model's output is not finite");
    return bits;
}

}  // namespace plm::infer
