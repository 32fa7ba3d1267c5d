#include "peak.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include "cpu_vnni/kernels.h"
#include "peak_rate.h"

namespace plm::infer {
namespace {

const Peak& peak_named(const std::string& isa) {
    for (const Peak* peak : {
             &peak_portable,
#if defined(__x86_64__)
             &peak_avx2,
             &peak_avxvnni,
             &peak_avx512vnni,
#elif defined(__aarch64__)
             &peak_neon,
             &peak_dotprod,
             &peak_i8mm,
#endif
         })
        if (isa == peak->isa && cpu_vnni_supported(peak->isa)) return *peak;
    throw std::invalid_argument("no such instruction set here");
}

}  // namespace

PeakRates measure_peak(const char* isa, size_t block, double seconds) {
    const Peak& peak = peak_named(isa);
    block = (std::max(block, size_t(1)) + 511) / 512 * 512;
    struct Free {
        void operator()(uint8_t* p) const { std::free(p); }
    };
    const std::unique_ptr<uint8_t, Free> bytes(static_cast<uint8_t*>(std::aligned_alloc(512, block)));
    if (!bytes) throw std::bad_alloc();
    std::fill_n(bytes.get(), block, uint8_t(1));
    volatile uint32_t sink = 0;
    const auto read = [&](size_t repeats) {
        for (size_t i = 0; i < repeats; ++i) sink = sink + peak.read(bytes.get(), block);
        return double(repeats) * double(block);
    };
    return {best_rate(seconds, peak.multiply_add), best_rate(seconds, read)};
}

}  // namespace plm::infer
