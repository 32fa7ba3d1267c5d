#include "sampling.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

namespace plm {
namespace {

// Room for rounding where a sum is compared with a bound: ten bytes of probability 0.1 reach 0.9 with nine,
// and the exp(H) of k equally likely bytes is k, not k + 1 by the last bit.
constexpr double kRounding = 1e-12;

constexpr double kLn2High = 6.93147180369123816490e-01, kLn2Low = 1.90821492927058770002e-10;

constexpr double kInverseFactorial[] = {
    1.0,        1.0,         1.0 / 2,      1.0 / 6,       1.0 / 24,       1.0 / 120,       1.0 / 720,
    1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};

// e^x for x <= 0, good to about one unit in the last place; 0 where the result would be subnormal.
double portable_exp(double x) {
    if (x < -708.0) return 0.0;
    const int k = int(x * 1.4426950408889634 - 0.5);  // to nearest, as x <= 0
    const double r = (x - k * kLn2High) - k * kLn2Low;
    double sum = kInverseFactorial[13];  // |r| <= ln(2) / 2, so r^14 / 14! is below the last bit
    for (int i = 12; i >= 0; --i) sum = sum * r + kInverseFactorial[i];
    const uint64_t bits = uint64_t(1023 + k) << 52;
    double power;
    std::memcpy(&power, &bits, sizeof power);
    return sum * power;
}

// ln(x) for finite x >= 1, by the series of atanh.
double portable_log(double x) {
    int exponent;
    const double mantissa = std::frexp(x, &exponent);
    const double s = (mantissa - 1.0) / (mantissa + 1.0);
    double sum = 0.0;  // |s| <= 1/3, so 18 terms reach the last bit
    for (int i = 35; i > 0; i -= 2) sum = sum * s * s + 1.0 / i;
    return 2.0 * s * sum + exponent * kLn2Low + exponent * kLn2High;
}

struct Candidate {
    double logit;   // relative to the likeliest: 0 for it, negative for the others
    double weight;  // exp(logit), so that the probability is weight / total
    int byte;
};

// The allowed bytes with what all the methods need to know of their distribution.
struct Candidates {
    Candidate items[256];
    int count = 0;
    double total = 0.0;       // sum of the weights
    double mean_logit = 0.0;  // expectation of the logit; H = ln(total) - mean_logit
};

Candidates weigh(const double logits[256], const ByteMask& mask) {
    Candidates all;
    double highest = -HUGE_VAL;
    for (int b = 0; b < 256; ++b)
        if (mask[size_t(b)]) highest = std::max(highest, logits[b]);
    for (int b = 0; b < 256; ++b) {
        if (!mask[size_t(b)]) continue;
        const double logit = logits[b] - highest, weight = portable_exp(logit);
        all.items[all.count++] = {logit, weight, b};
        all.total += weight;
        if (weight > 0.0) all.mean_logit += weight * logit;
    }
    all.mean_logit /= all.total;
    return all;
}

// Moves the `count` best candidates, or fewer if they reach `mass` before, to the front; returns how many.
// A heap, as few of the bytes are ever wanted. `better` must be a strict total order.
template <typename Better>
int take_best(Candidates& all, int count, double mass, Better better) {
    Candidate* const end = all.items + all.count;
    const auto worse = [&](const Candidate& a, const Candidate& b) { return better(b, a); };
    std::make_heap(all.items, end, worse);
    Candidate* last = end;
    double sum = 0.0;
    while (last != all.items && end - last < count && sum < mass) {
        std::pop_heap(all.items, last, worse);
        sum += (--last)->weight;
    }
    std::reverse(all.items, end);
    return int(end - last);
}

bool likelier(const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.byte < b.byte;
}

// Puts the candidates that `options` keeps first; returns how many they are (at least one).
int keep(Candidates& all, const SamplerOptions& options) {
    const double amount = options.amount;
    const double mass = amount * all.total * (1.0 - kRounding);
    switch (options.keep) {
        case Keep::kGreedy:
            return take_best(all, 1, HUGE_VAL, likelier);
        case Keep::kTopE: {
            const double undecided = all.total / portable_exp(all.mean_logit);  // exp(H), without a logarithm
            const double wanted = std::ceil(amount * undecided * (1.0 - kRounding));
            return take_best(all, int(std::clamp(wanted, 1.0, 256.0)), HUGE_VAL, likelier);
        }
        case Keep::kTopP:
            return take_best(all, 256, mass, likelier);
        case Keep::kTopK:
            return take_best(all, int(std::min(amount, 256.0)), HUGE_VAL, likelier);
        case Keep::kMinP:
            return int(
                std::partition(all.items, all.items + all.count,
                               [&](const Candidate& c) { return c.weight >= amount * (1.0 - kRounding); }) -
                all.items);
        case Keep::kTypical: {
            // The surprise is ln(total) - logit, so its distance to H needs no logarithm either.
            const auto typical = [&](const Candidate& a, const Candidate& b) {
                const double da = std::fabs(a.logit - all.mean_logit),
                             db = std::fabs(b.logit - all.mean_logit);
                return da != db ? da < db : a.byte < b.byte;
            };
            return take_best(all, 256, mass, typical);
        }
    }
    throw std::invalid_argument("unknown sampling method");
}

// Whether `character` begins with the pending bytes and goes on after them.
bool begins_with(const Character& character, const uint8_t* pending, int size) {
    return character.size > size && std::equal(pending, pending + size, character.bytes);
}

bool same(const Character& a, const Character& b) {
    return a.size == b.size && std::equal(a.bytes, a.bytes + a.size, b.bytes);
}

void check(bool right, const char* message) {
    if (!right) throw std::invalid_argument(message);
}

SamplerOptions checked(const SamplerOptions& options) {
    const double a = options.amount;
    switch (options.keep) {
        case Keep::kGreedy:
            break;
        case Keep::kTopE:
            check(std::isfinite(a) && a > 0, "factor must be a number above 0");
            break;
        case Keep::kTopK:
            check(std::isfinite(a) && a >= 1, "k must be at least 1");
            break;
        default:
            check(a > 0 && a <= 1, "p must be above 0 and at most 1");
    }
    check(std::isfinite(options.temperature) && options.temperature >= 0, "temperature must be 0 or more");
    check(std::isfinite(options.repetition_penalty) && options.repetition_penalty >= 1,
          "repetition_penalty must be 1 or more");
    check(options.repetition_window >= 1 && options.repetition_window <= 4096,
          "repetition_window must be 1 to 4096 characters");
    return options;
}

}  // namespace

RepetitionPenalty::RepetitionPenalty(double penalty, int window)
    : log_penalty_(penalty == 1.0 ? 0.0 : portable_log(penalty)), window_(size_t(window)) {}

void RepetitionPenalty::see(const Character& character) {
    if (log_penalty_ == 0.0) return;
    if (seen_.size() == window_) seen_.erase(seen_.begin());
    seen_.push_back({character, 0});
    // A match before the place i grows by one if the new character stands just before i, and else is gone.
    for (size_t i = seen_.size() - 1; i > 0; --i)
        seen_[i].match = same(seen_[i - 1].character, character) ? seen_[i - 1].match + 1 : 0;
    seen_[0].match = 0;
}

void RepetitionPenalty::apply(double logits[256], const uint8_t* pending, int size) const {
    int match[256] = {};  // the longest, where several characters go on with a byte
    for (const Seen& seen : seen_)
        if (begins_with(seen.character, pending, size)) {
            int& longest = match[seen.character.bytes[size]];
            longest = std::max(longest, seen.match);
        }
    for (int b = 0; b < 256; ++b) logits[b] -= match[b] * log_penalty_;
}

Sampler::Sampler(const SamplerOptions& options, uint64_t seed)
    : options_(checked(options)),
      generator_{seed},
      repetition_(options.repetition_penalty, options.repetition_window) {}

void Sampler::probabilities(double out[256], const float logits[256], const Utf8Cutter& cutter,
                            bool end_allowed) const {
    double adjusted[256];
    for (int b = 0; b < 256; ++b) {
        if (!std::isfinite(logits[b]))
            throw std::domain_error("logit " + std::to_string(b) + " is not finite");
        adjusted[b] = logits[b];
    }
    repetition_.apply(adjusted, cutter.pending, cutter.size);
    Candidates all = weigh(adjusted, allowed_bytes(cutter.pending, cutter.size, end_allowed));
    const int kept = keep(all, options_);

    // With "typical" the likeliest candidate may not be among the kept: measure from the best that is.
    const Candidate best = *std::max_element(
        all.items, all.items + kept, [](const Candidate& a, const Candidate& b) { return likelier(b, a); });
    std::fill(out, out + 256, 0.0);
    for (int i = 0; i < kept; ++i) {
        const Candidate& c = all.items[i];
        if (options_.temperature == 0.0)
            out[c.byte] = c.byte == best.byte ? 1.0 : 0.0;
        else
            out[c.byte] = portable_exp((c.logit - best.logit) / options_.temperature);
    }
    double total = 0.0;  // in the order of the bytes, not of the heap
    for (int b = 0; b < 256; ++b) total += out[b];
    for (int b = 0; b < 256; ++b) out[b] /= total;
}

uint8_t Sampler::draw(const float logits[256], const Utf8Cutter& cutter, bool end_allowed) {
    double p[256];
    probabilities(p, logits, cutter, end_allowed);
    const double point = options_.keep == Keep::kGreedy ? 0.0 : generator_.uniform();
    double sum = 0.0;
    int chosen = -1;
    for (int b = 0; b < 256; ++b) {
        if (p[b] == 0.0) continue;
        chosen = b;  // also the answer if rounding leaves the sum below the point
        sum += p[b];
        if (point < sum) break;
    }
    return uint8_t(chosen);
}

}  // namespace plm
