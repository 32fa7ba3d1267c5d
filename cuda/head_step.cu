// The head for a batch of texts: the logits of the next byte, or all bytes of a character sampled one after
// the other, in one launch. Definition, to the last bit: head of engine/src/infer/step.cpp, and
// BatchDecoder::run of generation.cpp. A block processes up to 16 texts by itself, as in trunk_step.cu.
#include <algorithm>

#include "infer_block.h"
#include "sampling.h"

namespace {

struct Head {
    const InferModel& model;
    const Work& work;
    const char* states;
    const float* bases;  // (., views head_width)
    int rows;

    __device__ const float* base(const HeadRow& at) const {
        const StateLayout layout(model);
        const float* from =
            at.slot < 0 ? bases + static_cast<size_t>(-1 - at.slot) * model.bases()
                        : reinterpret_cast<const float*>(states + at.slot * layout.size + layout.base);
        return from + min(at.size, model.views - 1) * model.head_width;
    }

    // x = the base and the rows of the open bytes
    __device__ void begin(int m, const HeadRow& at) const {
        const int H = model.head_width;
        const float* from = base(at);
        const plm::OpenRows open = plm::open_rows(at.open, at.size, model.prefixes);
        for (int i = static_cast<int>(threadIdx.x); i < H; i += kWarp) {
            const auto in = [&](const Int8Rows& table, int row) {
                return static_cast<float>(table.rows[row * H + i]) * table.scale[row];
            };
            float x = from[i];
            if (model.prefix_lead.rows)
                x = x + (in(model.prefix_lead, open.lead) + in(model.prefix_pair, open.pair));
            if (model.prefix.rows) {
                x += in(model.prefix, open.prefix);
                x += in(model.prefix, open.suffix);
            }
            work.x_row(m)[i] = x;
        }
        __syncwarp();
    }

    // From x to work.row(m): 256 logits; between barriers.
    __device__ void logits() const {
        const int H = model.head_width;
        const float* before = nullptr;
        for (int l = 0; l < model.head_layers; ++l) {
            const InferSwiglu& layer = model.head[l];
            swiglu_layer(work, rows, layer, before, H, model.head_hidden);
            before = layer.down.scale;
        }
        each_row(rows, [&](int m) {
            if (before) dequantize_row(work.x_row(m), work.sums_of(m, before), H, true);
            norm_quantize_row(work.quantized_row(m), work.scale + m, work.x_row(m), model.head_norm, H);
        });
        product(work, model.out, kBytes, H);
        each_row(rows, [&](int m) {
            dequantize_row(work.row(m), work.sums_of(m, model.out.scale), kBytes, false);
        });
    }
};

__global__ void __launch_bounds__(kWarp* kWarps)
    head_logits_kernel(float* logits, Cost* costs, const char* states, const float* bases, InferModel model,
                       const HeadRow* prefixes, const int* bytes, int M, BlockSizes sizes) {
    DYN_SHARED(float, memory);
    const Work work(memory, sizes);
    const int first = static_cast<int>(blockIdx.x) * kRows;
    const Head head{model, work, states, bases, min(kRows, M - first)};
    clear(work);
    each_row(head.rows, [&](int m) { head.begin(m, prefixes[first + m]); });
    head.logits();
    each_row(head.rows, [&](int m) {
        for (int i = static_cast<int>(threadIdx.x); logits && i < kBytes; i += kWarp)
            logits[static_cast<size_t>(first + m) * kBytes + i] = work.row(m)[i];
        if (!costs) return;
        const Cost cost = cost_of(work.row(m), bytes[first + m]);
        if (threadIdx.x == 0) costs[first + m] = cost;
    });
}

// Takes a sampled byte; true if the launch can sample more for this text. A word that a character of
// several bytes ends is a patch that the trunk must see first.
__device__ __forceinline__ bool push(SamplerState& w, int byte, const Cost& cost) {
    w.count = byte < 0 ? -1 : w.count + 1;
    if (byte < 0) return false;
    Sampling& s = w.sampling;
    w.bytes[w.count - 1] = static_cast<unsigned char>(byte);
    w.costs[w.count - 1] = cost;
    s.pending[s.pending_size++] = static_cast<unsigned char>(byte);
    if (w.count == w.most || s.pending_size == plm::sequence_length(s.pending[0])) return false;
    const bool word = w.at.size > 0 && w.at.open[0] < 0x80;
    w.at.size = s.pending_size;
    for (int i = 0; i < s.pending_size; ++i) w.at.open[i] = s.pending[i];
    return !word;
}

__global__ void __launch_bounds__(kWarp* kWarps)
    head_step_kernel(SamplerState* samplers, const char* states, InferModel model, const Repeat* repeats,
                     const double* penalties, int M, int R, BlockSizes sizes) {
    DYN_SHARED(float, memory);
    const Work work(memory, sizes);
    double* spaces = reinterpret_cast<double*>(work.quantized + kRows * sizes.stride());
    int* open = reinterpret_cast<int*>(spaces + kRows * kBytes);
    const int first = static_cast<int>(blockIdx.x) * kRows, rows = min(kRows, M - first);
    const Head head{model, work, states, nullptr, rows};
    clear(work);
    if (threadIdx.y == 0 && threadIdx.x < kRows) open[threadIdx.x] = static_cast<int>(threadIdx.x) < rows;
    for (bool more = true; more;) {
        each_row(rows, [&](int m) {
            if (open[m]) head.begin(m, samplers[first + m].at);
        });
        head.logits();
        each_row(rows, [&](int m) {
            if (!open[m]) return;
            SamplerState& w = samplers[first + m];
            unsigned long long generator = w.sampling.generator;
            const size_t text = static_cast<size_t>(first + m);
            const int byte = draw_byte(spaces + m * kBytes, &generator, w.sampling, work.row(m),
                                       repeats + text * R, penalties ? penalties + text * kBytes : nullptr);
            const Cost cost = cost_of(work.row(m), max(byte, 0));
            __syncwarp();  // all lanes have read what changes now
            if (threadIdx.x != 0) return;
            w.sampling.generator = generator;
            open[m] = push(w, byte, cost);
        });
        more = false;
        for (int m = 0; m < rows; ++m) more = more || open[m];
    }
}

BlockSizes sizes_of(const InferModel& m) {
    return {m.head_width, std::max(m.head_width, m.head_hidden),
            std::max({2 * m.head_hidden, kBytes, m.head_width})};
}

}  // namespace

size_t head_step_shared(const InferModel& m) {
    return sizes_of(m).shared() + kRows * (sizeof(double) * kBytes + sizeof(int));
}

// logits (M, 256), or nullptr; costs (M) of bytes (M), or nullptr both; bases as trunk_step leaves them;
// prefixes (M). `model` lies on the host.
PLM_API head_logits(float* logits, Cost* costs, const char* states, const float* bases,
                    const InferModel* model, const HeadRow* prefixes, const int* bytes, int M,
                    cudaStream_t stream) {
    BlockSizes sizes = sizes_of(*model);
    return launch(head_logits_kernel, ceil_div(M, kRows), dim3(kWarp, kWarps), sizes.shared(), stream, logits,
                  costs, states, bases, *model, prefixes, bytes, M, sizes);
}

// Samples for each of samplers (M) the bytes of a character: until it is closed, or `most` are sampled, or a
// word ends before it and the trunk has to move on by that first. Before: count 0; after: count, bytes,
// costs, and the generator where it is then. repeats (M, R), penalties (M, 256) or nullptr as for `sample`;
// with the latter, `most` is 1.
PLM_API head_step(SamplerState* samplers, const char* states, const InferModel* model, const Repeat* repeats,
                  const double* penalties, int M, int R, cudaStream_t stream) {
    return launch(head_step_kernel, ceil_div(M, kRows), dim3(kWarp, kWarps), head_step_shared(*model), stream,
                  samplers, states, *model, repeats, penalties, M, R, sizes_of(*model));
}
