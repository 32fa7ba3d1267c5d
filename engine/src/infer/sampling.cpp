#include "sampling.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

#include "cuda/exp.h"

namespace plm {
namespace {

// Room for rounding where a sum is compared with a bound: ten bytes of probability 0.1 reach 0.9 with nine,
// and the exp(H) of k equally likely bytes is k, not k + 1 by the last bit.
constexpr double kRounding = 1e-12;

// out = e^x for each x <= 0; 0 where it would be subnormal. In loops that become vector code: the sampler
// would spend most of its time here.
void portable_exp(double* out, const double* x, int n) {
    for (int i = 0; i < n; ++i) out[i] = std::max(x[i], kLowestExp);
    for (int i = 0; i < n; ++i) out[i] = exp_in_range(out[i]);
    for (int i = 0; i < n; ++i) out[i] = x[i] < kLowestExp ? 0.0 : out[i];
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

}  // namespace

// The allowed bytes with what all the methods need to know of their distribution; then the kept alone.
struct Candidates {
    Candidate items[256];
    int count = 0;
    double total = 0.0;       // sum of the weights
    double mean_logit = 0.0;  // expectation of the logit; H = ln(total) - mean_logit
};

namespace {

void weigh(Candidates& all, const double logits[256], const ByteMask& mask) {
    // In four lanes: one sum or maximum after the other would wait for each addition or comparison.
    constexpr int kLanes = 4;
    double relative[256 + kLanes], weights[256 + kLanes];
    uint8_t bytes[256];
    int n = 0;
    for (int b = 0; b < 256; ++b)
        if (mask[size_t(b)]) bytes[n] = uint8_t(b), relative[n++] = logits[b];
    std::fill_n(relative + n, kLanes, -HUGE_VAL);
    double high[kLanes], total[kLanes] = {}, mean[kLanes] = {};
    std::copy_n(relative, kLanes, high);
    for (int i = 0; i < n; i += kLanes)
        for (int j = 0; j < kLanes; ++j) high[j] = std::max(high[j], relative[i + j]);
    const double highest = std::max(std::max(high[0], high[1]), std::max(high[2], high[3]));
    for (int i = 0; i < n; ++i) relative[i] -= highest;
    portable_exp(weights, relative, n);
    std::fill_n(relative + n, kLanes, 0.0);
    std::fill_n(weights + n, kLanes, 0.0);
    for (int i = 0; i < n; i += kLanes)
        for (int j = 0; j < kLanes; ++j) {
            total[j] += weights[i + j];
            mean[j] += weights[i + j] * relative[i + j];
        }
    for (int i = 0; i < n; ++i) all.items[i] = {relative[i], weights[i], bytes[i]};
    all.count = n;
    all.total = (total[0] + total[1]) + (total[2] + total[3]);
    all.mean_logit = ((mean[0] + mean[1]) + (mean[2] + mean[3])) / all.total;
}

// Sorts the `sorted` best of items[0..count) to the front. By insertion, as few are ever wanted and most are
// refused by one comparison with the last of them.
template <typename Better>
void sort_best(Candidate* items, int sorted, int count, Better better) {
    for (int i = 1; i < count; ++i) {
        const Candidate candidate = items[i];
        int place = i;
        if (i >= sorted) {
            if (!better(candidate, items[sorted - 1])) continue;
            place = sorted - 1;
            items[i] = items[place];
        }
        for (; place > 0 && better(candidate, items[place - 1]); --place) items[place] = items[place - 1];
        items[place] = candidate;
    }
}

// Moves the best candidates that reach `mass` to the front; returns how many. Sorted a few at a time, as few
// of the bytes are ever wanted. `better` must be a strict total order.
template <typename Better>
int take_best(Candidates& all, double mass, Better better) {
    double sum = 0.0;
    for (int taken = 0, sorted = 8;; sorted *= 4) {
        sorted = std::min(sorted, all.count);
        sort_best(all.items + taken, sorted - taken, all.count - taken, better);
        while (taken < sorted && sum < mass) sum += all.items[taken++].weight;
        if (taken == all.count || sum >= mass) return taken;
    }
}

// A lambda and no function, so that the sort's code contains it.
constexpr auto likelier = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.byte < b.byte;
};

// Moves the `count` likeliest candidates, or all if they are fewer, to the front in any order; returns how
// many. No sorting: only those between whom and the last to be taken is less than a quarter of a nat compete.
int take_likeliest(Candidates& all, int count) {
    constexpr int kSteps = 64;
    if (count >= all.count) return all.count;
    uint8_t step[256];
    int sizes[kSteps] = {}, last = 0, before = 0, edges = 0;
    for (int i = 0; i < all.count; ++i) step[i] = uint8_t(std::min(-4.0 * all.items[i].logit, kSteps - 1.0));
    for (int i = 0; i < all.count; ++i) ++sizes[step[i]];
    while (before + sizes[last] < count) before += sizes[last++];
    Candidate edge[256];
    int kept = 0;
    for (int i = 0; i < all.count; ++i) {  // without branches, which nothing could foretell
        const Candidate candidate = all.items[i];
        edge[edges] = candidate, edges += step[i] == last;
        all.items[kept] = candidate, kept += step[i] < last;
    }
    sort_best(edge, count - kept, edges, likelier);
    std::copy_n(edge, count - kept, all.items + kept);
    return count;
}

// Puts the candidates that `options` keeps first; returns how many they are (at least one).
int keep(Candidates& all, const SamplerOptions& options) {
    const double amount = options.amount;
    const double mass = amount * all.total * (1.0 - kRounding);
    switch (options.keep) {
        case Keep::kGreedy:
            return take_likeliest(all, 1);
        case Keep::kTopE: {
            double likely;  // exp(mean_logit), so that exp(H) = total / likely: no logarithm is needed
            portable_exp(&likely, &all.mean_logit, 1);
            const double wanted = std::ceil(amount * all.total / likely * (1.0 - kRounding));
            return take_likeliest(all, int(std::clamp(wanted, 1.0, 256.0)));
        }
        case Keep::kTopP:
            return take_best(all, mass, likelier);
        case Keep::kTopK:
            return take_likeliest(all, int(std::min(amount, 256.0)));
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
            return take_best(all, mass, typical);
        }
        case Keep::kWygpt:
            break;
    }
    throw std::invalid_argument("unknown sampling method");
}

// The kept alone, in the order of their bytes, weighed at the temperature.
void temper(Candidates& all, double temperature) {
    // With "typical" the likeliest candidate may not be among the kept: measure from the best that is.
    const Candidate best = *std::min_element(all.items, all.items + all.count, likelier);
    sort_best(all.items, all.count, all.count,
              [](const Candidate& a, const Candidate& b) { return a.byte < b.byte; });
    double relative[256], weights[256];
    if (all.count < 1) throw std::logic_error("no candidate is left");
    for (int i = 0; i < all.count; ++i) {
        const Candidate& c = all.items[i];
        const double cold = c.byte == best.byte ? 0.0 : -HUGE_VAL;
        relative[i] = temperature == 0.0 ? cold : (c.logit - best.logit) / temperature;
    }
    portable_exp(weights, relative, all.count);
    all.total = 0.0;
    for (int i = 0; i < all.count; ++i) all.total += all.items[i].weight = weights[i];
}

// What is left of each candidate's probability above that of the uniform distribution. Where nothing is,
// because all are equally likely, all stay.
void subtract_uniform(Candidates& all) {
    const double uniform = all.total / 256;
    int kept = 0;
    double total = 0.0;
    for (int i = 0; i < all.count; ++i) {
        Candidate candidate = all.items[i];
        candidate.weight -= uniform;
        if (candidate.weight <= kRounding * all.total) continue;
        total += candidate.weight;
        all.items[kept++] = candidate;
    }
    if (kept == 0) return;
    all.count = kept;
    all.total = total;
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
        case Keep::kWygpt:
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
    if (log_penalty_ == 0.0) return;
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

void Sampler::choose(Candidates& all, const float logits[256], const TextCutter& text,
                     bool end_allowed) const {
    double adjusted[256];
    uint32_t bits[256], carry = 0;  // into the sign, from an exponent of ones: infinite or not a number
    std::memcpy(bits, logits, sizeof bits);
    for (int b = 0; b < 256; ++b) carry |= (bits[b] & 0x7F800000u) + 0x00800000u;
    std::copy_n(logits, 256, adjusted);
    if (carry >> 31 != 0) {
        const auto finite_one = [](float x) { return std::isfinite(x); };
        const auto place = std::find_if_not(logits, logits + 256, finite_one) - logits;
        throw std::domain_error("logit " + std::to_string(place) + " is not finite");
    }
    repetition_.apply(adjusted, text.pending(), text.size());
    if (options_.keep == Keep::kWygpt) {
        wygpt_.apply(adjusted);
        const double temperature = options_.temperature;
        if (temperature > 0)
            for (double& logit : adjusted) logit /= temperature;
        weigh(all, adjusted, text.allowed(end_allowed));
        if (temperature > 0) {
            subtract_uniform(all);
        } else {
            all.count = take_likeliest(all, 1);
            all.total = all.items[0].weight;
        }
        return;
    }
    weigh(all, adjusted, text.allowed(end_allowed));
    all.count = keep(all, options_);
    temper(all, options_.temperature);
}

void Sampler::probabilities(double out[256], const float logits[256], const TextCutter& text,
                            bool end_allowed) const {
    Candidates kept;
    choose(kept, logits, text, end_allowed);
    std::fill(out, out + 256, 0.0);
    for (int i = 0; i < kept.count; ++i) out[kept.items[i].byte] = kept.items[i].weight / kept.total;
}

uint8_t Sampler::draw(const float logits[256], const TextCutter& text, bool end_allowed) {
    Candidates kept;
    choose(kept, logits, text, end_allowed);
    const double point = options_.keep == Keep::kGreedy ? 0.0 : generator_.uniform() * kept.total;
    double sum = 0.0;
    int chosen = -1;
    for (int i = 0; i < kept.count; ++i) {
        if (kept.items[i].weight == 0.0) continue;
        chosen = kept.items[i].byte;  // also the answer if rounding leaves the sum below the point
        sum += kept.items[i].weight;
        if (point < sum) break;
    }
    if (options_.keep == Keep::kWygpt) wygpt_.read(uint8_t(chosen));
    return uint8_t(chosen);
}

void Sampler::read(const uint8_t* bytes, size_t size) {
    if (options_.keep != Keep::kWygpt) return;
    for (size_t i = 0; i < size; ++i) wygpt_.read(bytes[i]);
}

}  // namespace plm
