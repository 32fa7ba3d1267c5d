#include "sampler_state.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "../infer/sampling.h"

namespace plm::infer {
namespace {

constexpr int kLongestCharacter = 4;
constexpr double kBitsPerNat = 1.4426950408889634;

bool looks_back(const SampleRequest& request) {
    return request.sampler->options().keep == Keep::kWygpt;
}

SamplerState sampler_state_of(const SampleRequest& request) {
    const Sampler& sampler = *request.sampler;
    const SamplerOptions& options = sampler.options();
    const TextCutter& text = request.state->text;
    SamplerState made{};
    made.sampling = {sampler.generator(),
                     options.amount,
                     options.temperature,
                     sampler.repetition().log_penalty(),
                     static_cast<int>(options.keep),
                     request.end_allowed,
                     static_cast<int>(sampler.repetition().seen().size()),
                     text.size(),
                     {}};
    std::copy_n(text.pending(), text.size(), made.sampling.pending);
    made.most = looks_back(request) ? 1 : kLongestCharacter;  // that penalty changes with every byte
    return made;
}

}  // namespace

SamplerStates::SamplerStates(const SampleRequest requests[], size_t M) {
    for (size_t m = 0; m < M; ++m) {
        rows.push_back(sampler_state_of(requests[m]));
        most_repeats = std::max(most_repeats, rows[m].sampling.repeats);
        if (looks_back(requests[m])) penalties.resize(M * kBytes);
    }
    repeats.resize(M * size_t(most_repeats));
    for (size_t m = 0; m < M; ++m) {
        Repeat* to = &repeats[m * size_t(most_repeats)];
        for (const auto& seen : requests[m].sampler->repetition().seen()) {
            to->size = seen.character.size, to->match = seen.match;
            std::copy_n(seen.character.bytes, seen.character.size, to++->bytes);
        }
        if (looks_back(requests[m])) requests[m].sampler->wygpt().penalties(&penalties[m * kBytes]);
    }
}

void SamplerStates::give(SampleRequest requests[]) const {
    for (size_t m = 0; m < rows.size(); ++m) {
        const SamplerState& row = rows[m];
        SampleRequest& request = requests[m];
        if (row.count < 1) {
            request.error = std::make_exception_ptr(std::domain_error("the model's output is not finite"));
            continue;
        }
        request.count = row.count;
        std::copy_n(row.bytes, row.count, request.bytes);
        for (int i = 0; i < row.count; ++i)
            request.bits[i] = (std::log(row.costs[i].sum) + row.costs[i].drop) * kBitsPerNat;
        request.sampler->sampled(row.sampling.generator, row.bytes, size_t(row.count));
    }
}

}  // namespace plm::infer
