// Matrix products by register tiles. One driver serves every instruction set; the including file defines, in
// its own namespace, the tile's micro-kernel `tile<rows>(...)`, PLM_TILE_ROWS (most rows of a tile) and the
// constants kCols and kSummands (numbers in an Element).
//   C[M,N] (+)= A @ B, B packed in panels of kCols columns (the last one padded with zeros), A either row by
//   row or, where it is a transposed operand, packed in tiles of PLM_TILE_ROWS rows, a step's rows side by
//   side.

// Memory for packed operands, kept per thread and grown on demand.
struct Scratch {
    void* data = nullptr;
    size_t size = 0;
    ~Scratch() { __builtin_free(data); }
    void* reserve(size_t bytes) {
        if (bytes > size) {
            __builtin_free(data);
            size = bytes;
            data = allocate_large(bytes);
        }
        return data;
    }
};
static thread_local Scratch scratch_a, scratch_b;

template <int rows>
static void tile(float* out, int ldc, const Element* a, size_t a_row, size_t a_step, const Element* panel,
                 int steps, bool accumulate);

static void tile_rows(int rows, float* out, int ldc, const Element* a, size_t a_row, size_t a_step,
                      const Element* panel, int steps, bool accumulate) {
    switch (rows) {
#define PLM_TILE(R) \
    case R:         \
        return tile<R>(out, ldc, a, a_row, a_step, panel, steps, accumulate);
        PLM_TILE(1)
        PLM_TILE(2)
        PLM_TILE(3)
        PLM_TILE(4)
        PLM_TILE(5)
        PLM_TILE(6)
#if PLM_TILE_ROWS > 6
        PLM_TILE(7)
        PLM_TILE(8)
        PLM_TILE(9)
        PLM_TILE(10)
        PLM_TILE(11)
        PLM_TILE(12)
#endif
#undef PLM_TILE
    }
}

// A partial panel goes through a buffer, so that nothing beyond column N is read or written.
static void tile_edge(int rows, int cols, float* out, int ldc, const Element* a, size_t a_row, size_t a_step,
                      const Element* panel, int steps, bool accumulate) {
    float buffer[PLM_TILE_ROWS * kCols];
    tile_rows(rows, buffer, kCols, a, a_row, a_step, panel, steps, false);
    for (int r = 0; r < rows; ++r) {
        float* o = out + static_cast<size_t>(r) * ldc;
        for (int c = 0; c < cols; ++c)
            o[c] = accumulate ? o[c] + buffer[r * kCols + c] : buffer[r * kCols + c];
    }
}

// Most steps and rows of one round: its part of a panel lies in the first cache beside a tile's rows, and its
// rows of A and C in the second.
#ifndef PLM_TILE_DEPTH
#define PLM_TILE_DEPTH 128
#endif
constexpr int kDepth = PLM_TILE_DEPTH, kHeight = PLM_TILE_ROWS * 16;

// Steps of a round, such that no short one is left over: each round reads and writes C.
static int round_depth(int steps) {
    int rounds = (steps + kDepth - 1) / kDepth, each = rounds ? (steps + rounds - 1) / rounds : kDepth;
    return (each + 63) / 64 * 64;
}

// `upper` leaves out the tiles that lie wholly below the diagonal.
static void product(float* out, const Element* a, bool a_tiled, const Element* panels, int M, int N,
                    int steps, bool accumulate, bool upper = false) {
    size_t a_row = a_tiled ? 1 : steps, a_step = a_tiled ? PLM_TILE_ROWS : 1;
    int round = round_depth(steps);
    for (int k = 0; k < steps; k += round) {
        int depth = steps - k < round ? steps - k : round;
        bool add = accumulate || k > 0;
        for (int top = 0; top < M; top += kHeight) {
            int bottom = M - top < kHeight ? M : top + kHeight;
            for (int n = 0; n < N; n += kCols) {
                const Element* panel = panels + static_cast<size_t>(n) * steps + k * kCols;
                for (int m = top; m < bottom; m += PLM_TILE_ROWS) {
                    if (upper && n + kCols <= m) break;
                    int rows = M - m < PLM_TILE_ROWS ? M - m : PLM_TILE_ROWS;
                    float* o = out + static_cast<size_t>(m) * N + n;
                    const Element* from = a + static_cast<size_t>(m) * steps + k * a_step;
                    if (N - n >= kCols) {
                        tile_rows(rows, o, N, from, a_row, a_step, panel, depth, add);
                    } else {
                        tile_edge(rows, N - n, o, N, from, a_row, a_step, panel, depth, add);
                    }
                }
            }
        }
    }
}

static double matmul_burst_tiled(int repeats) {
    constexpr int steps = 128;
    alignas(64) Element a[PLM_TILE_ROWS * steps] = {}, panel[steps * kCols] = {};
    alignas(64) float out[PLM_TILE_ROWS * kCols] = {};
    for (int i = 0; i < repeats; ++i) {
        tile<PLM_TILE_ROWS>(out, kCols, a, steps, 1, panel, steps, true);
        // The compiler must assume that every operand has changed, or it would optimise work away.
        asm volatile("" : : "r"(a), "r"(panel), "r"(out) : "memory");
    }
    return 2.0 * kSummands * PLM_TILE_ROWS * kCols * steps * repeats;
}
