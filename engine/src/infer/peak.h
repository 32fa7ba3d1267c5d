// The peak rates of one core here, from which the lower bound on the time of inference is computed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace plm::infer {

// The loops of one instruction set, as the kernels of that name could have them at best.
struct Peak {
    const char* isa;
    // Multiplies and adds int8 pairs in registers; returns how many.
    double (*multiply_add)(size_t repeats);
    // Reads all the bytes, in steps of 64.
    uint32_t (*read)(const uint8_t* bytes, size_t size);
};

extern const Peak peak_portable;
#if defined(__x86_64__)
extern const Peak peak_avx2, peak_avxvnni, peak_avx512vnni;
#elif defined(__aarch64__)
extern const Peak peak_neon, peak_dotprod, peak_i8mm;
#endif

struct PeakRates {
    double multiply_adds;  // 1/s
    double read;           // bytes/s, of a block that is read over and over
};

// The best of slices of a millisecond, each rate for so many seconds. std::invalid_argument for an
// instruction set that is unknown or missing here.
PeakRates measure_peak(const char* isa, size_t block, double seconds);

}  // namespace plm::infer
