// The upper bound on training speed, measured at run time.
#include <algorithm>
#include <thread>
#include <vector>

#include "ops.h"
#include "peak_rate.h"

namespace plm::train {
namespace {

double fastest_slice(const Ops<float>& ops, double seconds) {
    return best_rate(seconds, [&](size_t repeats) { return ops.matmul_burst(int(repeats)); });
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

}  // namespace plm::train
