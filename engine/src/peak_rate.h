// The peak rate of this core, on a machine where other programs interrupt it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace plm {

// `work(repeats)` returns how much was done. The best of slices of a millisecond, at least five: they are
// short enough to lie between two interruptions by the system, and an interrupted one is not taken for long.
template <typename Work>
double best_rate(double seconds, Work work) {
    using Clock = std::chrono::steady_clock;
    constexpr int kSlices = 5;
    const auto since = [](Clock::time_point start) {
        return std::chrono::duration<double>(Clock::now() - start).count();
    };
    const auto start = Clock::now();
    double best = 0;
    size_t repeats = 1;
    for (int slices = 0; slices < kSlices || since(start) < seconds;) {
        const auto slice = Clock::now();
        const double done = work(repeats), took = since(slice);
        if (took < 5e-4) {
            repeats *= 2, slices = 0;
        } else {
            best = std::max(best, done / took), ++slices;
        }
    }
    return best;
}

}  // namespace plm
