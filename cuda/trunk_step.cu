// Trunk steps for a batch of texts: embedding, all layers of the trunk and the base for the head, in one
// launch. Definition, to the last bit: step of engine/src/infer/step.cpp.
//
// A row is a patch. A block takes 16 rows at a time, of as many texts or of one after the other in a prompt:
// the products are independent of it, and what depends on the row before (convolution, recurrence, ring) is
// done by one warp for all rows of a text in their order.
#include <algorithm>

#include "infer_attention.h"
#include "infer_block.h"

namespace {

// One text's memory.
struct State {
    char* memory;
    const StateLayout& at;
    const InferModel& model;
    __device__ float* recurrent(int slot) const {
        return reinterpret_cast<float*>(memory) + static_cast<size_t>(slot) * model.state;
    }
    __device__ uint16_t* history(int layer) const {
        return reinterpret_cast<uint16_t*>(memory + at.histories) +
               static_cast<size_t>(layer) * 2 * model.width;
    }
    __device__ Ring ring(int slot, int now) const {
        const int all = model.head_size * model.window;
        auto* keys = reinterpret_cast<int8_t*>(memory + at.rings) + static_cast<size_t>(slot) * 2 * all;
        auto* scales =
            reinterpret_cast<uint16_t*>(memory + at.scales) + static_cast<size_t>(slot) * 2 * model.window;
        return {keys, keys + all, scales, scales + model.window, model.window, now};
    }
    __device__ int8_t* top() const { return reinterpret_cast<int8_t*>(memory + at.tops); }
    __device__ float* scales() const { return reinterpret_cast<float*>(memory + at.tail); }
    __device__ unsigned* position() const { return reinterpret_cast<unsigned*>(scales() + 2); }
    __device__ float* base() const { return reinterpret_cast<float*>(memory + at.base); }
};

// The rows that a block has at the moment, first to first + count of the batch.
struct Rows {
    int first, count;
    const int* slots;
    __device__ bool follows(int m) const { return m > 0 && slots[first + m] == slots[first + m - 1]; }
    __device__ bool last(int m) const { return m + 1 == count || !follows(m + 1); }
    __device__ int ahead(int m) const {  // rows of the same text before it
        int n = 0;
        while (follows(m - n)) ++n;
        return n;
    }
};

// f(m) for each row, those of one text in order by one warp, between two barriers
template <class F>
__device__ __forceinline__ void each_text(const Rows& rows, F&& f) {
    __syncthreads();
    for (int m = 0, text = -1; m < rows.count; ++m) {
        text += !rows.follows(m);
        if (text % kWarps != static_cast<int>(threadIdx.y)) continue;
        f(m);
        __syncwarp();
    }
    __syncthreads();
}

BlockSizes sizes_of(const InferModel& m) {
    int all = m.attention_layers ? m.heads * m.head_size : 0;
    int attention = m.attention_layers ? all + 2 * m.head_size + m.heads * m.window : 0;
    return {std::max(m.width, m.embedding), std::max({m.width, m.state, m.hidden, m.embedding, all}),
            std::max({3 * m.state, 2 * m.hidden, m.width, m.bases(), attention})};
}

struct Trunk {
    const InferModel& model;
    const StateLayout& layout;
    const Work& work;
    char* states;
    Rows rows;

    __device__ State state(int m) const {
        return {states + static_cast<size_t>(rows.slots[rows.first + m]) * layout.size, layout, model};
    }

    // x = the sum of the patch's rows, in the order of step.cpp
    __device__ void embed(float* x, const int* ids) const {
        const int lane = static_cast<int>(threadIdx.x), E = model.embedding;
        for (int i = lane; i < E; i += kWarp) {
            const auto at = [&](int table, int row) {
                const Int8Rows& t = model.tables[table];
                return static_cast<float>(t.rows[static_cast<size_t>(row) * E + i]) * t.scale[row];
            };
            float sum = at(0, ids[0]) + at(1, ids[1]);
            if (ids[2] >= 0) sum += at(2, ids[2]);
            if (ids[3] >= 0) sum += at(3, ids[3]);
            for (int piece = 4; piece < kPatchIds && ids[piece] >= 0; ++piece) sum += at(4, ids[piece]);
            x[i] = sum;
        }
        __syncwarp();
    }

    // Embedded rows, quantised, stay in `kept` for the head, if it wants them.
    __device__ void begin(const int* ids, int8_t* kept, float* kept_scale) const {
        const int E = model.embedding;
        each_row(rows.count, [&](int m) {
            embed(work.x_row(m), ids + static_cast<size_t>(rows.first + m) * kPatchIds);
            const auto value = [&](int i) { return work.x_row(m)[i]; };
            if (kept) quantize_values(kept + m * E, kept_scale + m, E, value);
            if (model.input.rows) quantize_values(work.quantized_row(m), work.scale + m, E, value);
        });
        if (!model.input.rows) return;
        product(work, model.input, model.width, E);
        each_row(rows.count, [&](int m) {
            dequantize_row(work.x_row(m), work.sums_of(m, model.input.scale), model.width, false);
        });
    }

    __device__ void mixer(const InferLayer& layer, int index, int slot) const {
        const InferModel& c = model;
        each_text(rows, [&](int m) {
            norm_conv_quantize_row(work.quantized_row(m), work.scale + m, state(m).history(index),
                                   work.x_row(m), layer.norm, layer.taps, c.width);
        });
        product(work, layer.in, layer.attends ? (c.heads + 2) * c.head_size : 3 * c.state, c.width);
        each_text(rows, [&](int m) {
            Sums s = work.sums_of(m, layer.in.scale);
            if (layer.attends) {
                int now = static_cast<int>((*state(m).position() + rows.ahead(m)) % c.window);
                attention_quantize_row(work.quantized_row(m), work.scale + m, work.row(m),
                                       state(m).ring(slot, now), s, layer.bias, c.heads, c.head_size);
            } else {
                recurrence_quantize_row(work.quantized_row(m), work.scale + m, state(m).recurrent(slot),
                                        work.row(m), s, layer.bias, c.state);
            }
        });
        product(work, layer.out, c.width, layer.attends ? c.heads * c.head_size : c.state);
    }

    // The base after each row, of which a state keeps the last, with the rows that it is made of.
    __device__ void base(float* bases, const int8_t* kept, const float* kept_scale, const float* down) const {
        const int lane = static_cast<int>(threadIdx.x), D = model.width, E = model.embedding;
        each_row(rows.count, [&](int m) {
            dequantize_row(work.x_row(m), work.sums_of(m, down), D, true);
            norm_quantize_row(work.quantized_row(m), work.scale + m, work.x_row(m), model.norm, D);
            __syncwarp();
            if (!rows.last(m)) return;
            State to = state(m);
            for (int i = lane; i < D; i += kWarp) to.top()[i] = work.quantized_row(m)[i];
            for (int i = lane; kept && i < E; i += kWarp) to.top()[D + i] = kept[m * E + i];
            if (lane != 0) return;
            to.scales()[0] = work.scale[m], to.scales()[1] = kept ? kept_scale[m] : 0.0f;
            *to.position() = (*to.position() + rows.ahead(m) + 1) % static_cast<unsigned>(model.window);
        });
        multiply(bases, kept, kept_scale);
    }

    // The same from the rows that a state keeps; there is one.
    __device__ void base_again() const {
        State from = state(0);
        take(from.top(), from.scales(), model.width);
        multiply(nullptr, model.skip.rows ? from.top() + model.width : nullptr, from.scales() + 1);
    }

    __device__ void take(const int8_t* quantized, const float* scale, int n) const {
        const int lane = static_cast<int>(threadIdx.x);
        each_row(rows.count, [&](int m) {
            for (int i = lane; i < n; i += kWarp) work.quantized_row(m)[i] = quantized[m * n + i];
            if (lane == 0) work.scale[m] = scale[m];
        });
    }

    __device__ void multiply(float* bases, const int8_t* kept, const float* kept_scale) const {
        base_part(bases, model.base, model.width, false);
        if (!kept) return;
        take(kept, kept_scale, model.embedding);
        base_part(bases, model.skip, model.embedding, true);
    }

    __device__ void base_part(float* bases, const Int8Rows& matrix, int K, bool more) const {
        const int n = model.bases();
        product(work, matrix, n, K);
        each_row(rows.count, [&](int m) {
            Sums s = work.sums_of(m, matrix.scale);
            if (bases) dequantize_row(bases + static_cast<size_t>(rows.first + m) * n, s, n, more);
            if (rows.last(m)) dequantize_row(state(m).base(), s, n, more);
        });
    }
};

__global__ void __launch_bounds__(kWarp* kWarps)
    trunk_step_kernel(char* states, float* bases, InferModel model, const int* ids, const int* slots,
                      const int* starts, BlockSizes sizes) {
    DYN_SHARED(float, memory);
    Work work(memory, sizes);
    int8_t* kept = model.skip.rows ? work.quantized + kRows * sizes.stride() : nullptr;
    auto* kept_scale = reinterpret_cast<float*>(kept + kRows * model.embedding);
    StateLayout layout(model);
    clear(work);
    int end = starts[blockIdx.x + 1];
    for (int first = starts[blockIdx.x]; first < end; first += kRows) {
        Trunk trunk{model, layout, work, states, {first, min(kRows, end - first), slots}};
        trunk.begin(ids, kept, kept_scale);
        const float* down = nullptr;  // the product that is still to be added to x
        int recurrences = 0, attentions = 0;
        for (int l = 0; l < model.layers; ++l) {
            const InferLayer& layer = model.trunk[l];
            if (down) {
                each_row(trunk.rows.count, [&](int m) {
                    dequantize_row(work.x_row(m), work.sums_of(m, down), model.width, true);
                });
            }
            trunk.mixer(layer, l, layer.attends ? attentions++ : recurrences++);
            swiglu_layer(work, trunk.rows.count, layer.swiglu, layer.out.scale, model.width, model.hidden);
            down = layer.swiglu.down.scale;
        }
        trunk.base(bases, kept, kept_scale, down);
    }
}

__global__ void __launch_bounds__(kWarp* kWarps)
    trunk_base_kernel(char* states, InferModel model, const int* slot, BlockSizes sizes) {
    DYN_SHARED(float, memory);
    const Work work(memory, sizes);
    const StateLayout layout(model);
    clear(work);
    Trunk{model, layout, work, states, {0, 1, slot}}.base_again();
}

}  // namespace

size_t trunk_step_shared(const InferModel& m) {
    size_t kept = m.skip.rows ? static_cast<size_t>(m.embedding) + sizeof(float) : 0;
    return sizes_of(m).shared() + kRows * kept;
}

// states (slots, StateLayout::size bytes) move on; bases (M, views head_width), or nullptr, is what the head
// starts from after each row; ids (M, kPatchIds); slots (M) of the rows. Block i of `blocks` takes rows
// starts[i] to starts[i + 1], and rows of one text are side by side in one block. Every width is a multiple
// of 16. `model` lies on the host.
PLM_API trunk_step(char* states, float* bases, const InferModel* model, const int* ids, const int* slots,
                   const int* starts, int blocks, cudaStream_t stream) {
    return launch(trunk_step_kernel, blocks, dim3(kWarp, kWarps), trunk_step_shared(*model), stream, states,
                  bases, *model, ids, slots, starts, sizes_of(*model));
}

// The base of the state at `slot` (1), which a snapshot does not hold, from the rows that it is made of.
PLM_API trunk_base(char* states, const InferModel* model, const int* slot, cudaStream_t stream) {
    BlockSizes sizes = sizes_of(*model);
    return launch(trunk_base_kernel, 1, dim3(kWarp, kWarps), sizes.shared(), stream, states, *model, slot,
                  sizes);
}
