// Chooses the operator table for this processor; the only file of the trainer that asks what the processor
// can do.
#include <cstring>
#include <stdexcept>
#include <string>

#include "ops.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace plm::train {
namespace {

struct Candidate {
    const Ops<float>* ops;
    bool supported;
};

#if defined(__x86_64__)
// Each check names every flag that setup.py compiles the table with, since the compiler may use any of them.
bool has_avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

bool has_avx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && has_avx2();
}
#elif defined(__aarch64__)
// NEON is part of the base; of the rest Linux says what is there.
bool has_bf16() {
#if defined(__linux__)
    // -march=armv8.2-a+bf16: atomics, CRC and rounding products came with 8.1
    constexpr unsigned long kBase = 1UL << 8 | 1UL << 7 | 1UL << 12, kBf16 = 1UL << 14;
    return (getauxval(AT_HWCAP) & kBase) == kBase && (getauxval(AT_HWCAP2) & kBf16) != 0;
#else
    return false;
#endif
}
#endif

// Best first.
const Candidate* candidates(int* count) {
    static const Candidate all[] = {
#if defined(__x86_64__)
        {&ops_avx512bf16, has_avx512() && __builtin_cpu_supports("avx512bf16")},
        {&ops_avx512, has_avx512()},
        {&ops_avx2, has_avx2()},
#elif defined(__aarch64__)
        {&ops_neonbf16, has_bf16()},
        {&ops_neon, true},
#endif
        {&ops_portable, true}};
    *count = sizeof all / sizeof all[0];
    return all;
}

}  // namespace

const Ops<float>& select_ops(const char* name) {
    int count;
    const Candidate* all = candidates(&count);
    bool any = name == nullptr || *name == 0 || !std::strcmp(name, "auto");
    for (int i = 0; i < count; ++i) {
        if (any ? all[i].supported : !std::strcmp(name, all[i].ops->name)) {
            if (!all[i].supported) throw std::invalid_argument("this processor has no " + std::string(name));
            return *all[i].ops;
        }
    }
    throw std::invalid_argument("unknown instruction set " + std::string(name) +
                                ": use portable, avx2, avx512, avx512bf16, neon or neonbf16");
}

const char* const* supported_ops() {
    static const char* names[5] = {};
    if (names[0] == nullptr) {
        int count, n = 0;
        const Candidate* all = candidates(&count);
        for (int i = 0; i < count; ++i) {
            if (all[i].supported) names[n++] = all[i].ops->name;
        }
    }
    return names;
}

}  // namespace plm::train
