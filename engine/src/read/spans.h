// The distribution over the spans of a question's passages, and "nothing":
//   P(first, last) = exp(a[first] + b[last]) / Z,  P(nothing) = exp(nothing) / Z
// for first <= last < first + longest within one passage. Exact: Z is summed over all of them.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "text.h"

namespace plm::read {

struct Quotation {
    Span span;
    double probability;
};

// Of one question: its passages' rows of a and b lie at `row`, spans may take [begin, end).
template <class T>
struct SpanRows {
    const T *a, *b;
    int begin, end;
};

template <class T>
class SpanDistribution {
  public:
    SpanDistribution(std::vector<SpanRows<T>> passages, T nothing, int longest)
        : passages_(std::move(passages)), nothing_(static_cast<double>(nothing)), longest_(longest) {
        top_ = nothing_;
        double a = -infinity(), b = -infinity();
        for (const SpanRows<T>& p : passages_) {
            for (int t = p.begin; t < p.end; ++t)
                a = std::max(a, double(p.a[t])), b = std::max(b, double(p.b[t]));
        }
        // Both kinds of sums are of numbers that are at most 1; a sum that underflows to nothing is one that
        // matters to nobody.
        a_top_ = a, b_top_ = b, top_ = std::max(nothing_, a + b);
        double sum = std::exp(nothing_ - top_);
        for (const SpanRows<T>& p : passages_) {
            const std::vector<double> after = window_sums(p.b, p.begin, p.end, b_top_, true);
            for (int t = p.begin; t < p.end; ++t)
                sum += std::exp(double(p.a[t]) + b_top_ - top_) * after[static_cast<size_t>(t - p.begin)];
        }
        log_z_ = top_ + std::log(sum);
    }

    double log_probability_of_nothing() const { return nothing_ - log_z_; }
    double log_probability(const Span& span) const {
        const SpanRows<T>& p = passages_[static_cast<size_t>(span.passage)];
        return double(p.a[span.first]) + double(p.b[span.last]) - log_z_;
    }

    // Adds scale times the gradient of -log P(answers) to da, db (as a and b lie) and dnothing; no answers:
    // of -log P(nothing). Returns that loss in nats.
    double loss(const std::vector<Span>& answers, double scale, const std::vector<std::pair<T*, T*>>& grads,
                double* dnothing) const {
        double gold = -infinity();
        for (const Span& s : answers) gold = log_add(gold, log_probability(s));
        const double nothing = std::exp(log_probability_of_nothing());
        if (answers.empty()) gold = log_probability_of_nothing();
        *dnothing += scale * (nothing - (answers.empty() ? 1.0 : 0.0));
        for (size_t i = 0; i < passages_.size(); ++i) {
            const SpanRows<T>& p = passages_[i];
            const std::vector<double> after = window_sums(p.b, p.begin, p.end, b_top_, true),
                                      before = window_sums(p.a, p.begin, p.end, a_top_, false);
            for (int t = p.begin; t < p.end; ++t) {
                const size_t k = static_cast<size_t>(t - p.begin);
                grads[i].first[t] += T(scale * std::exp(double(p.a[t]) + b_top_ - log_z_) * after[k]);
                grads[i].second[t] += T(scale * std::exp(double(p.b[t]) + a_top_ - log_z_) * before[k]);
            }
        }
        for (const Span& s : answers) {
            const T share = T(scale * std::exp(log_probability(s) - gold));
            grads[static_cast<size_t>(s.passage)].first[s.first] -= share;
            grads[static_cast<size_t>(s.passage)].second[s.last] -= share;
        }
        return -gold;
    }

    // Up to `count` spans that do not overlap, likeliest first; ties go to the earlier one.
    std::vector<Quotation> best(int count) const {
        std::vector<Quotation> found;
        for (int i = 0; i < count; ++i) {
            Quotation next{{-1, -1, -1}, -infinity()};
            for (size_t p = 0; p < passages_.size(); ++p) search(static_cast<int>(p), found, next);
            if (next.span.passage < 0) break;
            next.probability = std::exp(next.probability);
            found.push_back(next);
        }
        return found;
    }

  private:
    // The likeliest span of a passage that overlaps none of those found, if it is likelier than `next`.
    void search(int passage, const std::vector<Quotation>& found, Quotation& next) const {
        const SpanRows<T>& p = passages_[static_cast<size_t>(passage)];
        int end = p.end;  // of the free stretch that a span may take
        for (int first = p.end - 1; first >= p.begin; --first) {
            for (const Quotation& q : found)
                if (q.span.passage == passage && q.span.first <= first && first <= q.span.last) end = first;
            for (int last = first; last < std::min(end, first + longest_); ++last) {
                const double value = log_probability({passage, first, last});
                if (value >= next.probability && (value > next.probability || passage == next.span.passage))
                    next = {{passage, first, last}, value};
            }
        }
    }

    static double infinity() { return std::numeric_limits<double>::infinity(); }
    static double log_add(double x, double y) {
        const double most = std::max(x, y);
        return most == -infinity() ? most : most + std::log(std::exp(x - most) + std::exp(y - most));
    }
    // For each t the sum of exp(x - top) over the `longest` places from t on, or up to t.
    std::vector<double> window_sums(const T* x, int begin, int end, double top, bool onwards) const {
        const int n = std::max(0, end - begin);
        std::vector<double> e(static_cast<size_t>(n)), out(static_cast<size_t>(n));
        for (int t = 0; t < n; ++t) e[static_cast<size_t>(t)] = std::exp(double(x[begin + t]) - top);
        // Sums of positive numbers, block by block from both ends, so that nothing cancels.
        std::vector<double> left(e), right(e);
        for (int t = 0; t < n; ++t)
            if (t % longest_ != 0) left[static_cast<size_t>(t)] += left[static_cast<size_t>(t - 1)];
        for (int t = n - 2; t >= 0; --t)
            if ((t + 1) % longest_ != 0) right[static_cast<size_t>(t)] += right[static_cast<size_t>(t + 1)];
        for (int t = 0; t < n; ++t) {
            const int from = onwards ? t : std::max(0, t - longest_ + 1);
            const int to = onwards ? std::min(n - 1, t + longest_ - 1) : t;
            const double first = right[static_cast<size_t>(from)], second = left[static_cast<size_t>(to)];
            const bool one_block = from / longest_ == to / longest_;  // whole, or cut by an end of the array
            const double sum = !one_block ? first + second : from % longest_ == 0 ? second : first;
            out[static_cast<size_t>(t)] = sum;
        }
        return out;
    }
    std::vector<SpanRows<T>> passages_;
    double nothing_, a_top_ = 0, b_top_ = 0, top_ = 0, log_z_ = 0;
    int longest_;
};

}  // namespace plm::read
