// What a snapshot keeps of the cutter beside the pending bytes of a character.
#pragma once

#include <cstring>
#include <stdexcept>
#include <string>

#include "model/config.h"
#include "text/patches.h"

namespace plm::infer {

struct OpenPatch {
    uint8_t run[kLongestRun];
    uint8_t run_size;
    uint32_t before[2];
};

inline PatchCutter cutter_of(const Config& c) {
    PatchCutter cutter;
    cutter.rule = c.patch, cutter.longest = uint8_t(c.longest);
    return cutter;
}

inline void save_cutter(std::string* out, const PatchCutter& cutter) {
    OpenPatch open{};
    std::memcpy(open.run, cutter.run, cutter.run_size);
    open.run_size = cutter.run_size;
    std::memcpy(open.before, cutter.before, sizeof open.before);
    out->append(reinterpret_cast<const char*>(&open), sizeof open);
}

// From the bytes that save_cutter wrote, with `pending` as the open character. std::invalid_argument for what
// it cannot have written.
inline PatchCutter restored_cutter(const Config& c, const char* bytes, const Utf8Cutter& pending) {
    OpenPatch open;
    std::memcpy(&open, bytes, sizeof open);
    PatchCutter cutter = cutter_of(c);
    cutter.character = pending;
    std::memcpy(cutter.before, open.before, sizeof open.before);
    for (int i = 0; i < open.run_size; ++i) {  // an open run is what remains open when it is read again
        Patch closed[2];
        if (i >= kLongestRun || pending.size > 0 || cutter.push(open.run[i], closed) > 0)
            throw std::invalid_argument("the open bytes cannot be open");
    }
    return cutter;
}

}  // namespace plm::infer
