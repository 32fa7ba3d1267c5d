// Texts on their way through head_step: what their samplers know, as the kernel takes it, and what it drew.
#pragma once
#include <vector>

#include "../infer/network.h"
#include "cuda/infer_model.h"

namespace plm {

struct Writers {
    // All but where the head stands (`at`).
    Writers(const Draw draws[], size_t M);
    // What the kernel left in `rows`, for their samplers too.
    void give(Draw draws[]) const;

    int most_repeats = 1;
    std::vector<Writer> rows;
    std::vector<Repeat> repeats;    // (rows, most_repeats)
    std::vector<double> penalties;  // (rows, 256); none where no sampler is wyGPT's
};

}  // namespace plm
