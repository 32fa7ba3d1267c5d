/* Every int8 kernel against a sum written out here, on arrays of exactly the size they need, so that the
 * address sanitizer sees a read or write one byte too far. Usage: native_test [NAME...]; without names, all
 * that this CPU supports. Prints what was tested; exit status 1 at the first difference.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_vnni/kernels.h"

static void check(int good, const char* what) {
    if (good) return;
    fprintf(stderr, "native_test: %s\n", what);
    exit(1);
}

static uint32_t random_bits(void) {
    static uint32_t state = 20250101u; /* xorshift: the same numbers everywhere */
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static void fill(int8_t* values, size_t count, int extreme) {
    static const int8_t extremes[] = {-128, -127, 127};
    for (size_t i = 0; i < count; i++) {
        values[i] = extreme ? extremes[random_bits() % 3] : (int8_t)(random_bits() & 0xFF);
    }
}

/* `skew` moves inp by bytes and out by numbers off every vector boundary. */
static void compare(const cpu_vnni_kernels* kernels, int M, int N, int K, int skew, int extreme) {
    size_t a_size = (size_t)M * (size_t)K, b_size = (size_t)N * (size_t)K, c_size = (size_t)M * (size_t)N;
    int8_t* a = malloc(a_size + (size_t)skew);
    int8_t* b = malloc(b_size);
    int32_t* c = malloc((c_size + (size_t)skew) * sizeof *c);
    size_t packed_size = kernels->matmul_i8_packed_size(N, K);
    check(packed_size > 0 && packed_size % CPU_VNNI_ALIGNMENT == 0,
          "a packed size is no multiple of the alignment");
    void* packed = aligned_alloc(CPU_VNNI_ALIGNMENT, packed_size);
    check((a || !(a_size + (size_t)skew)) && (b || !b_size) && (c || !(c_size + (size_t)skew)) && packed,
          "out of memory");
    fill(a + skew, a_size, extreme);
    fill(b, b_size, extreme);
    memset(packed, 0x55, packed_size);
    kernels->matmul_i8_pack(packed, b, N, K);
    kernels->matmul_i8(c + skew, a + skew, packed, M, N, K);
    for (int m = 0; m < M; m++) {
        for (int n = 0; n < N; n++) {
            int64_t sum = 0;
            for (int k = 0; k < K; k++) sum += (int64_t)a[skew + (size_t)m * K + k] * b[(size_t)n * K + k];
            if (c[skew + (size_t)m * N + n] == sum) continue;
            fprintf(stderr, "native_test: %s M=%d N=%d K=%d: out[%d,%d] is %d, should be %lld\n",
                    kernels->name, M, N, K, m, n, (int)c[skew + (size_t)m * N + n], (long long)sum);
            exit(1);
        }
    }
    free(a), free(b), free(c), free(packed);
}

/* Around every edge: register widths, row tiles, and the chunks of rows (32) and of K (512, 1024). */
static void test_kernels(const cpu_vnni_kernels* kernels) {
    static const int rows[] = {0, 1, 2, 3, 4, 5, 9, 32, 33};
    static const int columns[] = {0, 1, 7, 8, 9, 15, 16, 17, 47, 48, 49, 95, 97, 129};
    static const int depths[] = {0, 1, 2, 3, 4, 5, 15, 16, 17, 31, 33, 63, 64, 65, 160};
    static const int deep[] = {511, 513, 1023, 1025, 2049};
    for (size_t m = 0; m < sizeof rows / sizeof *rows; m++) {
        for (size_t n = 0; n < sizeof columns / sizeof *columns; n++) {
            for (size_t k = 0; k < sizeof depths / sizeof *depths; k++) {
                compare(kernels, rows[m], columns[n], depths[k], (int)(k % 2), (int)(n % 2));
            }
        }
    }
    for (size_t k = 0; k < sizeof deep / sizeof *deep; k++) compare(kernels, 5, 35, deep[k], 1, (int)(k % 2));
    compare(kernels, 2, 17, CPU_VNNI_MAX_K, 0, 1);
    printf("%s\n", kernels->name);
}

static void test_select(void) {
    const char* error = NULL;
    const cpu_vnni_kernels* best = cpu_vnni_select(NULL, &error);
    check(best != NULL && error == NULL && best == cpu_vnni_select("", NULL),
          "no table is chosen by default");
    check(cpu_vnni_select("portable", NULL) == cpu_vnni_compiled[0],
          "the override does not lower to portable");
    check(cpu_vnni_select("sse9", NULL) == NULL, "an unknown name is accepted");
    check(cpu_vnni_select("sse9", &error) == NULL && strstr(error, "'sse9'") != NULL,
          "an error omits the name");
    for (const cpu_vnni_kernels* const* k = cpu_vnni_compiled; *k != NULL; k++) {
        const cpu_vnni_kernels* chosen = cpu_vnni_select((*k)->name, &error);
        check(chosen == (cpu_vnni_supported((*k)->name) ? *k : NULL),
              "a supported name and the choice disagree");
    }
}

int main(int argc, char** argv) {
    test_select();
    for (const cpu_vnni_kernels* const* k = cpu_vnni_compiled; *k != NULL; k++) {
        int wanted = argc == 1 && cpu_vnni_supported((*k)->name);
        for (int i = 1; i < argc; i++) wanted |= strcmp(argv[i], (*k)->name) == 0;
        if (wanted) test_kernels(*k);
    }
    return 0;
}
