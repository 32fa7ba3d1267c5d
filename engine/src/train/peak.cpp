// The ceiling of training speed, as measured here and now.
#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "ops.h"

namespace plm {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Slices of a millisecond are short enough to lie between two interruptions by the system.
double fastest_slice(const Ops<float>& ops, double seconds) {
    const auto start = std::chrono::steady_clock::now();
    int repeats = 1;
    for (double best = 0;;) {
        const auto slice = std::chrono::steady_clock::now();
        double done = ops.matmul_burst(repeats), took = seconds_since(slice);
        if (took < 5e-4) {
            repeats *= 2;
        } else {
            best = std::max(best, done / took);
            if (seconds_since(start) >= seconds) return best;
        }
    }
}

}  // namespace

double peak_flops(const Ops<float>& ops, int threads, double seconds) {
    std::vector<double> best(static_cast<size_t>(std::max(threads, 1)));
    std::vector<std::thread> others;
    for (size_t t = 1; t < best.size(); ++t)
        others.emplace_back([&, t] { best[t] = fastest_slice(ops, seconds); });
    best[0] = fastest_slice(ops, seconds);
    for (std::thread& t : others) t.join();
    double sum = 0;
    for (double b : best) sum += b;
    return sum;
}

}  // namespace plm
