// Texts in head_step: the state of their samplers, as the kernel takes it, and the bytes that it sampled.
#pragma once
#include <vector>

#include "../infer/network.h"
#include "cuda/infer_model.h"

namespace plm::infer {

struct SamplerStates {
    // All but where the head stands (`at`).
    SamplerStates(const SampleRequest requests[], size_t M);
    // What the kernel left in `rows`, for their samplers too.
    void give(SampleRequest requests[]) const;

    int most_repeats = 1;
    std::vector<SamplerState> rows;
    std::vector<Repeat> repeats;    // (rows, most_repeats)
    std::vector<double> penalties;  // (rows, 256); none where no sampler is wyGPT's
};

}  // namespace plm::infer
