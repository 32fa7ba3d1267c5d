// Characters out of a byte stream, and the bytes that may come next.
//
// The trunk of the model steps once per character, so everything that reads or writes text (training,
// sessions, sampling) has to cut bytes in exactly the same places. This header is that one definition.
// Cutting never fails: a byte that cannot continue the pending ones closes them as a malformed character,
// and a byte that can start no sequence is a character of its own. Header only, so that both native modules
// can use it; keep it out of files that are compiled with instruction-set flags.
#pragma once

#include <cstdint>

#include "host_device/text_rules.h"

namespace plm {

constexpr uint8_t kUserMark = 0xFD;
constexpr uint8_t kAssistantMark = 0xFE;
constexpr uint8_t kEndMark = 0xFF;

// Whether the bytes may be pending in a cutter: none, or a proper prefix of a valid sequence.
inline bool is_prefix(const uint8_t* bytes, int size) {
    if (size > 0 && size >= sequence_length(bytes[0])) return false;
    for (int i = 1; i < size; ++i)
        if (!continuations(bytes[0], i).has(bytes[i])) return false;
    return true;
}

// One closed character of 1..4 bytes, well formed or not, and its rows in the embedding tables.
struct Character {
    uint8_t bytes[4];
    uint8_t size;

    int lead() const { return bytes[0]; }                                            // row of lead_embedding
    int id() const { return size == 1 ? bytes[0] : int(fold(bytes, size) & 4095); }  // row of char_embedding
};

// Cuts a byte stream into characters. The whole state is the 0..3 bytes of the character that is still open.
struct Utf8Cutter {
    uint8_t pending[3] = {0, 0, 0};
    uint8_t size = 0;

    // Takes one byte; writes the characters that it closes, in order, and returns how many (0, 1 or 2).
    int push(uint8_t byte, Character closed[2]) {
        int count = 0;
        if (size > 0) {
            if (continuations(pending[0], size).has(byte)) {
                if (size + 1 < sequence_length(pending[0])) {
                    pending[size++] = byte;
                    return 0;
                }
                take_pending(closed[0]);
                closed[0].bytes[closed[0].size++] = byte;
                return 1;
            }
            take_pending(closed[count++]);
        }
        if (sequence_length(byte) > 1) {
            pending[0] = byte;
            size = 1;
        } else {
            closed[count++] = Character{{byte, 0, 0, 0}, 1};
        }
        return count;
    }

    // Closes what is pending as a (malformed) character at the end of a stream; returns 0 or 1.
    int flush(Character* closed) {
        if (size == 0) return 0;
        take_pending(*closed);
        return 1;
    }

    // Rows of the head's two prefix tables for the byte that comes next.
    int prefix_lead() const { return size == 0 ? kNoPrefixLead : pending[0]; }
    int prefix_pair() const { return size == 0 ? kNoPrefixPair : int(fold(pending, size) & 1023); }

  private:
    void take_pending(Character& out) {
        out = Character{{0, 0, 0, 0}, size};
        for (int i = 0; i < size; ++i) out.bytes[i] = pending[i];
        size = 0;
    }
};

// A set of bytes, the lowest of each 64 in the lowest bit of a word.
struct ByteMask {
    uint64_t words[4] = {};

    bool operator[](int byte) const { return words[byte / 64] >> byte % 64 & 1; }
    void set(int byte, bool in) { words[byte / 64] |= uint64_t(in) << byte % 64; }
};

// The bytes that generation may sample after the pending ones: is_allowed of host_device/text_rules.h.
inline ByteMask allowed_bytes(const uint8_t* pending, int size, bool end_allowed) {
    static const ByteMask first = [] {
        ByteMask mask;
        for (int b = 0; b < 256; ++b) mask.set(b, is_allowed(nullptr, 0, false, uint8_t(b)));
        return mask;
    }();
    ByteMask mask;
    if (size == 0) {
        mask = first;
        mask.set(kEndMark, end_allowed);
    } else {  // 0x80..0xBF are one word
        const ByteRange range = allowed_continuations(pending, size);
        mask.words[2] = ~uint64_t(0) >> (63 - (range.last - range.first)) << range.first % 64;
    }
    return mask;
}

}  // namespace plm
