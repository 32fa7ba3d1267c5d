#include "sampling.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "host_device/exp.h"

namespace plm::infer {
namespace {

// Room for rounding where a sum is compared with a bound: ten bytes of probability 0.1 reach 0.9 with nine,
// and the exp(H) of k equally likely bytes is k, not k + 1 by the last bit.
constexpr double kRounding = 1e-12;

// ln(x) for finite x >= 1, by the series of atanh.
double portable_log(double x) {
    int exponent;
    const double mantissa = std::frexp(x, &exponent);
    const double s = (mantissa - 1.0) / (mantissa + 1.0);
    double sum = 0.0;  // |s| <= 1/3, so 18 terms reach the last bit
    for (int i = 35; i > 0; i -= 2) sum = sum * s * s + 1.0 / i;
    return 2.0 * s * sum + exponent * kLn2Low + exponent * kLn2High;
}

constexpr int kRoom = 256 + 8;  // indices_above may write as much beyond what it finds

}  // namespace

// The allowed bytes, rising, with what all the methods need to know of their distribution, and places in
// these arrays: of the kept ones.
struct Candidates {
    alignas(64) double logit[kRoom];   // relative to the likeliest: 0 for it, negative for the others
    alignas(64) double weight[kRoom];  // exp(logit), so that the probability is weight / total
    uint8_t byte[kRoom];
    int count = 0;
    double total = 0.0;       // sum of the weights
    double mean_logit = 0.0;  // expectation of the logit; H = ln(total) - mean_logit

    uint8_t kept[kRoom];
    int kept_count = 0;

    bool likelier(int a, int b) const { return logit[a] != logit[b] ? logit[a] > logit[b] : a < b; }
    void keep_all() {
        kept_count = count;
        for (int i = 0; i < count; ++i) kept[i] = uint8_t(i);
    }
};

// The distribution to sample from: bytes, ascending, and their weights.
struct Distribution {
    alignas(64) double weight[kRoom];
    uint8_t byte[256];
    int count = 0;
    double total = 0.0;
};

namespace {

void softmax(Candidates& all, const VectorOps& ops, const double logits[256], const ByteMask& mask) {
    int n = 0;
    for (int word = 0; word < 4; ++word)
        for (uint64_t left = mask.words[word]; left != 0;) {  // run by run
            const int first = __builtin_ctzll(left);
            const uint64_t gaps = ~(left >> first);
            const int size = gaps != 0 ? __builtin_ctzll(gaps) : 64;
            std::copy_n(logits + 64 * word + first, size, all.logit + n);
            for (int i = 0; i < size; ++i) all.byte[n + i] = uint8_t(64 * word + first + i);
            n += size;
            if (first + size >= 64) break;
            left = left >> (first + size) << (first + size);
        }
    double totals[2];
    ops.softmax(all.logit, all.weight, totals, n);
    all.count = n;
    all.total = totals[0];
    all.mean_logit = totals[1] / totals[0];
}

// Keeps the best candidates that reach `mass`. Sorted a few at a time, as few of the bytes are ever wanted.
// `better` must be a strict total order.
template <typename Better>
void keep_best(Candidates& all, double mass, Better better) {
    all.keep_all();
    double sum = 0.0;
    int taken = 0;
    for (int sorted = 8; taken < all.count && sum < mass; sorted *= 4) {
        sorted = std::min(sorted, all.count);
        std::partial_sort(all.kept + taken, all.kept + sorted, all.kept + all.count, better);
        while (taken < sorted && sum < mass) sum += all.weight[all.kept[taken++]];
    }
    all.kept_count = taken;
    std::sort(all.kept, all.kept + taken);
}

// Keeps the `count` likeliest candidates, or all if they are fewer. A bound is lowered until enough are above
// it, then halved back while they are more than enough; only those above it are sorted.
void keep_likeliest(Candidates& all, const VectorOps& ops, int count) {
    if (count >= all.count) return all.keep_all();
    int found = 0;
    double bound = 0.0, too_high = 0.0;
    while ((found = ops.indices_above(all.kept, all.logit, bound, all.count)) < count)
        too_high = bound, bound = 4 * bound - 0.5;
    for (int i = 0; i < 4 && found > count; ++i) {
        uint8_t fewer[kRoom];
        const double middle = (bound + too_high) / 2;
        const int left = ops.indices_above(fewer, all.logit, middle, all.count);
        if (left < count) {
            too_high = middle;
        } else {
            bound = middle, found = left;
            std::copy_n(fewer, left, all.kept);
        }
    }
    if (found > count) {
        uint8_t order[256];
        const auto likelier = [&](int a, int b) { return all.likelier(a, b); };
        std::copy_n(all.kept, found, order);
        std::nth_element(order, order + count - 1, order + found, likelier);
        const int last = order[count - 1];
        std::remove_if(all.kept, all.kept + found, [&](int place) { return all.likelier(last, place); });
    }
    all.kept_count = count;
}

// The candidates that `options` keeps (at least one), in the order of their bytes.
void keep(Candidates& all, const VectorOps& ops, const SamplerOptions& options) {
    const double amount = options.amount;
    const double mass = amount * all.total * (1.0 - kRounding);
    switch (options.keep) {
        case Keep::kGreedy:
            return keep_likeliest(all, ops, 1);
        case Keep::kTopE: {
            // exp(H) = total / exp(mean_logit): no logarithm is needed
            alignas(64) double likely[8];
            alignas(64) const double mean[8] = {all.mean_logit};
            ops.exp_row(likely, mean, 1);
            const double wanted = std::ceil(amount * all.total / likely[0] * (1.0 - kRounding));
            return keep_likeliest(all, ops, int(std::clamp(wanted, 1.0, 256.0)));
        }
        case Keep::kTopP:
            return keep_best(all, mass, [&](int a, int b) { return all.likelier(a, b); });
        case Keep::kTopK:
            return keep_likeliest(all, ops, int(std::min(amount, 256.0)));
        case Keep::kMinP:
            all.kept_count = ops.indices_above(all.kept, all.weight, amount * (1.0 - kRounding), all.count);
            return;
        case Keep::kTypical:
            // The surprise is ln(total) - logit, so its distance to H needs no logarithm either.
            return keep_best(all, mass, [&](int a, int b) {
                const double da = std::fabs(all.logit[a] - all.mean_logit),
                             db = std::fabs(all.logit[b] - all.mean_logit);
                return da != db ? da < db : a < b;
            });
        case Keep::kWygpt:
            break;
    }
    throw std::invalid_argument("unknown sampling method");
}

// The kept bytes, with weights at the temperature.
void temper(Distribution& out, const Candidates& all, const VectorOps& ops, double temperature) {
    // With "typical" the likeliest candidate may not be among the kept: measure from the best that is.
    out.count = all.kept_count;
    if (out.count < 1) throw std::logic_error("no candidate is left");
    const auto likelier = [&](int a, int b) { return all.likelier(a, b); };
    const int best = *std::min_element(all.kept, all.kept + out.count, likelier);
    alignas(64) double relative[kRoom];
    std::fill_n(relative + out.count, 8, 0.0);
    for (int i = 0; i < out.count; ++i) {
        const int place = all.kept[i];
        const double cold = place == best ? 0.0 : -HUGE_VAL;
        relative[i] = temperature == 0.0 ? cold : (all.logit[place] - all.logit[best]) / temperature;
        out.byte[i] = all.byte[place];
    }
    ops.exp_row(out.weight, relative, out.count);
    out.total = 0.0;
    for (int i = 0; i < out.count; ++i) out.total += out.weight[i];
}

// What is left of each candidate's probability above that of the uniform distribution. Where nothing is,
// because all are equally likely, all stay.
void subtract_uniform(Distribution& out, Candidates& all) {
    const double uniform = all.total / 256;
    const auto rest = [&](int i) { return all.weight[i] - uniform; };
    all.keep_all();
    const auto end = std::remove_if(all.kept, all.kept + all.count,
                                    [&](int i) { return rest(i) <= kRounding * all.total; });
    out.count = int(end - all.kept);
    const bool none = out.count == 0;
    if (none) out.count = all.count;
    for (int i = 0; i < out.count; ++i) {
        const int place = none ? i : all.kept[i];
        out.byte[i] = all.byte[place];
        out.total += out.weight[i] = none ? all.weight[place] : rest(place);
    }
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

void RepetitionPenalty::accept(const Character& character) {
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

void Sampler::choose(Distribution& out, const VectorOps& ops, const float logits[256], const TextCutter& text,
                     bool end_allowed) const {
    alignas(64) double adjusted[256];
    if (!ops.widen_row(adjusted, logits, 256)) {
        const auto finite_one = [](float x) { return std::isfinite(x); };
        const auto place = std::find_if_not(logits, logits + 256, finite_one) - logits;
        throw std::domain_error("logit " + std::to_string(place) + " is not finite");
    }
    repetition_.apply(adjusted, text.pending(), text.size());
    const double temperature = options_.temperature;
    const bool wygpt = options_.keep == Keep::kWygpt;
    if (wygpt) {
        wygpt_.apply(adjusted);
        if (temperature > 0)
            for (double& logit : adjusted) logit /= temperature;
    }
    Candidates all;
    softmax(all, ops, adjusted, text.allowed(end_allowed));
    if (wygpt && temperature > 0) return subtract_uniform(out, all);
    if (wygpt)
        keep_likeliest(all, ops, 1);
    else
        keep(all, ops, options_);
    temper(out, all, ops, temperature);
}

void Sampler::probabilities(double out[256], const VectorOps& ops, const float logits[256],
                            const TextCutter& text, bool end_allowed) const {
    Distribution kept;
    choose(kept, ops, logits, text, end_allowed);
    std::fill(out, out + 256, 0.0);
    for (int i = 0; i < kept.count; ++i) out[kept.byte[i]] = kept.weight[i] / kept.total;
}

uint8_t Sampler::sample(const VectorOps& ops, const float logits[256], const TextCutter& text,
                        bool end_allowed) {
    Distribution kept;
    choose(kept, ops, logits, text, end_allowed);
    const double point = options_.keep == Keep::kGreedy ? 0.0 : generator_.uniform() * kept.total;
    double sum = 0.0;
    int chosen = -1;
    for (int i = 0; i < kept.count; ++i) {
        if (kept.weight[i] == 0.0) continue;
        chosen = kept.byte[i];  // also the answer if rounding leaves the sum below the point
        sum += kept.weight[i];
        if (point < sum) break;
    }
    if (options_.keep == Keep::kWygpt) wygpt_.read(uint8_t(chosen));
    return uint8_t(chosen);
}

void Sampler::read(const uint8_t* bytes, size_t size) {
    if (options_.keep != Keep::kWygpt) return;
    for (size_t i = 0; i < size; ++i) wygpt_.read(bytes[i]);
}

}  // namespace plm::infer
