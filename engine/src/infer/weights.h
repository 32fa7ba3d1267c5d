// What inference reads and never writes: a model's tensors, matrices packed for the chosen kernels.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "aligned.h"
#include "cpu_vnni/kernels.h"
#include "model/config.h"
#include "vector_ops.h"

namespace plm::infer {

// A tensor as it comes from the model file: int8 values with a scale for each row, or floats alone.
struct TensorView {
    const int8_t* quantized;
    const float* floats;  // the scales, where there are int8 values
    size_t quantized_count, float_count;
};

// weight[N,K] int8, packed for one table of kernels; scale[N].
struct Matrix {
    int N = 0, K = 0;
    std::unique_ptr<void, void (*)(void*)> packed{nullptr, std::free};
    AlignedVector<float> scale;
};

// What weights of every model need. Throws std::invalid_argument for an instruction set that cannot
// run here; the widest float code that goes with the integer kernels is taken: lowering those lowers this
// too.
const cpu_vnni_kernels* select_kernels(const std::string& isa);
const VectorOps* select_vector_ops(const cpu_vnni_kernels* kernels);
Matrix pack_matrix(const cpu_vnni_kernels* kernels, const TensorView& view, int N, int K);

// An embedding table [rows, width], row-major.
struct Table {
    int width = 0;
    AlignedVector<int8_t> rows;
    AlignedVector<float> scale;

    const int8_t* row(int i) const { return rows.data() + size_t(i) * size_t(width); }
};

struct SwiGlu {
    AlignedVector<float> norm;
    Matrix up, down;
};

struct Recurrence {
    AlignedVector<float> norm, taps, bias;  // taps: [3][D], oldest character first
    Matrix in, out;
};

struct Attention {
    AlignedVector<float> norm, taps, bias;  // bias: [heads][window]
    Matrix in, out;
};

// A layer has one of the two, `slot` counts the layers of its kind.
struct Layer {
    int slot;
    std::unique_ptr<Recurrence> recurrence;
    std::unique_ptr<Attention> attention;
    SwiGlu swiglu;
};

class Weights {
  public:
    // `tensor` finds a tensor of the model by its name; the views need to last only during construction.
    // `isa` as for cpu_vnni_select. Throws std::invalid_argument for one that cannot run here (with the
    // reason) and for a tensor of another size than the config says.
    Weights(const Config& config, const std::function<TensorView(const std::string&)>& tensor,
            const std::string& isa);

    Config config;
    const cpu_vnni_kernels* kernels;
    const VectorOps* vector_ops;
    // Tables that the config does not ask for are empty.
    Table lead_embedding, char_embedding, bigram_embedding, trigram_embedding, piece_embedding;
    Table prefix_lead, prefix_pair, prefix;
    std::vector<Layer> layers;
    AlignedVector<float> norm, head_norm;
    Matrix input, head_base, head_skip, head_out;  // the first and the third only if asked for
    std::vector<SwiGlu> head_layers;
};

}  // namespace plm::infer
