/* Which kernels run on this CPU: the only file of inference that asks. Callers choose one table when they
 * start and keep it.
 *
 * __builtin_cpu_supports reads CPUID and also XGETBV, so that a CPU whose operating system does not save the
 * wide registers counts as one without them. On Arm, where NEON is part of the base, Linux says what else
 * there is; under other systems that counts as missing. Each check names every flag that setup.py compiles the file
 * with, since the compiler may use any of them.
 */
#include <stdio.h>
#include <string.h>

#include "matmul_i8.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>

/* As <asm/hwcap.h> has them, where it is new enough. */
#define HAS_ATOMICS (1UL << 8)
#define HAS_CRC32 (1UL << 7)
#define HAS_ASIMDRDM (1UL << 12)
#define HAS_ASIMDDP (1UL << 20)
#define HAS2_I8MM (1UL << 13)
#endif

const cpu_vnni_kernels* const cpu_vnni_compiled[] = {
    &cpu_vnni_portable,
#if defined(__x86_64__)
    &cpu_vnni_avx2,
    &cpu_vnni_avxvnni,
    &cpu_vnni_avx512vnni,
#elif defined(__aarch64__)
    &cpu_vnni_neon,
    &cpu_vnni_dotprod,
    &cpu_vnni_i8mm,
#endif
    NULL,
};

static int runs_here(const cpu_vnni_kernels* kernels) {
    if (kernels == &cpu_vnni_portable) return 1;
#if defined(__x86_64__)
    __builtin_cpu_init();
    int avx2 =
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    int avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (kernels == &cpu_vnni_avx2) return avx2;
    if (kernels == &cpu_vnni_avxvnni) return avx2 && __builtin_cpu_supports("avxvnni") != 0;
    if (kernels == &cpu_vnni_avx512vnni) return avx512 && __builtin_cpu_supports("avx512vnni") != 0;
#elif defined(__aarch64__)
    if (kernels == &cpu_vnni_neon) return 1;
#if defined(__linux__)
    /* -march=armv8.2-a+dotprod: what is new in 8.1 and 8.2 for the compiler to use */
    const unsigned long needed = HAS_ATOMICS | HAS_CRC32 | HAS_ASIMDRDM | HAS_ASIMDDP;
    int dotprod = (getauxval(AT_HWCAP) & needed) == needed;
    if (kernels == &cpu_vnni_dotprod) return dotprod;
    if (kernels == &cpu_vnni_i8mm) return dotprod && (getauxval(AT_HWCAP2) & HAS2_I8MM) != 0;
#endif
#endif
    return 0;
}

static const cpu_vnni_kernels* find(const char* name) {
    for (const cpu_vnni_kernels* const* k = cpu_vnni_compiled; *k != NULL; k++) {
        if (strcmp((*k)->name, name) == 0) return *k;
    }
    return NULL;
}

/* `format` takes the wanted name (length and text) and then the list of names to choose from. */
static const char* refusal(const char* format, const char* wanted, int only_supported) {
    static _Thread_local char sentence[256];
    char names[96] = "";
    for (const cpu_vnni_kernels* const* k = cpu_vnni_compiled; *k != NULL; k++) {
        if (only_supported && !runs_here(*k)) continue;
        if (names[0] != '\0') strncat(names, ", ", sizeof names - strlen(names) - 1);
        strncat(names, (*k)->name, sizeof names - strlen(names) - 1);
    }
    int shown = strlen(wanted) < 64 ? (int)strlen(wanted) : 64;
    while (shown > 0 && (wanted[shown] & 0xC0) == 0x80) shown--; /* do not cut a UTF-8 character */
    snprintf(sentence, sizeof sentence, format, shown, wanted, names);
    return sentence;
}

int cpu_vnni_supported(const char* name) {
    const cpu_vnni_kernels* kernels = find(name);
    return kernels != NULL && runs_here(kernels);
}

const cpu_vnni_kernels* cpu_vnni_select(const char* wanted, const char** error) {
    if (wanted != NULL && wanted[0] != '\0') {
        const cpu_vnni_kernels* named = find(wanted);
        if (named != NULL && runs_here(named)) return named;
        if (error != NULL) {
            *error = named == NULL
                         ? refusal("unknown instruction set '%.*s' (this build has %s)", wanted, 0)
                         : refusal("this CPU lacks the instruction set '%.*s' (it has %s)", wanted, 1);
        }
        return NULL;
    }
    const cpu_vnni_kernels* best = &cpu_vnni_portable;
    for (const cpu_vnni_kernels* const* k = cpu_vnni_compiled; *k != NULL; k++) {
        if (runs_here(*k)) best = *k;
    }
    return best;
}
