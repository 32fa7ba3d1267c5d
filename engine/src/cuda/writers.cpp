#include "writers.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "../infer/sampling.h"

namespace plm {
namespace {

constexpr int kLongestCharacter = 4;
constexpr double kBitsPerNat = 1.4426950408889634;

bool looks_back(const Draw& draw) {
    return draw.sampler->options().keep == Keep::kWygpt;
}

Writer writer_of(const Draw& draw) {
    const Sampler& sampler = *draw.sampler;
    const SamplerOptions& options = sampler.options();
    const TextCutter& text = draw.state->text;
    Writer made{};
    made.sampling = {sampler.generator(),
                     options.amount,
                     options.temperature,
                     sampler.repetition().log_penalty(),
                     static_cast<int>(options.keep),
                     draw.end_allowed,
                     static_cast<int>(sampler.repetition().seen().size()),
                     text.size(),
                     {}};
    std::copy_n(text.pending(), text.size(), made.sampling.pending);
    made.most = looks_back(draw) ? 1 : kLongestCharacter;  // that penalty changes with every byte
    return made;
}

}  // namespace

Writers::Writers(const Draw draws[], size_t M) {
    for (size_t m = 0; m < M; ++m) {
        rows.push_back(writer_of(draws[m]));
        most_repeats = std::max(most_repeats, rows[m].sampling.repeats);
        if (looks_back(draws[m])) penalties.resize(M * kBytes);
    }
    repeats.resize(M * size_t(most_repeats));
    for (size_t m = 0; m < M; ++m) {
        Repeat* to = &repeats[m * size_t(most_repeats)];
        for (const auto& seen : draws[m].sampler->repetition().seen()) {
            to->size = seen.character.size, to->match = seen.match;
            std::copy_n(seen.character.bytes, seen.character.size, to++->bytes);
        }
        if (looks_back(draws[m])) draws[m].sampler->wygpt().penalties(&penalties[m * kBytes]);
    }
}

void Writers::give(Draw draws[]) const {
    for (size_t m = 0; m < rows.size(); ++m) {
        const Writer& row = rows[m];
        Draw& draw = draws[m];
        if (row.count < 1) {
            draw.error = std::make_exception_ptr(std::domain_error("the model's output is not finite"));
            continue;
        }
        draw.count = row.count;
        std::copy_n(row.bytes, row.count, draw.bytes);
        for (int i = 0; i < row.count; ++i)
            draw.bits[i] = (std::log(row.costs[i].sum) + row.costs[i].drop) * kBitsPerNat;
        draw.sampler->drawn(row.sampling.generator, row.bytes, size_t(row.count));
    }
}

}  // namespace plm
