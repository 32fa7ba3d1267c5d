// e^x for sampling, the same bits on host and device.
#pragma once
#include <cstdint>
#include <cstring>

#include "host_device/text_rules.h"

namespace plm {

constexpr double kLn2High = 6.93147180369123816490e-01, kLn2Low = 1.90821492927058770002e-10;
constexpr double kLowestExp = -708.0;  // below it e^x would be subnormal, and is taken for 0

// e^x for kLowestExp <= x <= 0, good to about one unit in the last place. Without branches or calls, so that
// a compiler makes vectors of a loop over it. Static: a copy made for one instruction set must not be the one
// that others call.
PLM_BOTH static inline double exp_in_range(double x) {
    constexpr double kRound = 6755399441055744.0;  // adding 1.5 * 2^52 leaves the nearest whole number below
    const double rounded = x * 1.4426950408889634 + kRound, k = rounded - kRound;
    const double r = (x - k * kLn2High) - k * kLn2Low;
    double sum = 1.0 / 6227020800;  // |r| <= ln(2) / 2, so r^14 / 14! is below the last bit
    sum = sum * r + 1.0 / 479001600;
    sum = sum * r + 1.0 / 39916800;
    sum = sum * r + 1.0 / 3628800;
    sum = sum * r + 1.0 / 362880;
    sum = sum * r + 1.0 / 40320;
    sum = sum * r + 1.0 / 5040;
    sum = sum * r + 1.0 / 720;
    sum = sum * r + 1.0 / 120;
    sum = sum * r + 1.0 / 24;
    sum = sum * r + 1.0 / 6;
    sum = sum * r + 1.0 / 2;
    sum = sum * r + 1.0;
    sum = sum * r + 1.0;
    uint64_t bits;
    std::memcpy(&bits, &rounded, sizeof bits);
    bits = (bits << 52) + 0x3FF0000000000000u;
    double power;
    std::memcpy(&power, &bits, sizeof power);
    return sum * power;
}

}  // namespace plm
