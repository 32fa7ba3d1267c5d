// Characters out of a byte stream, and the bytes that may come next.
//
// The trunk of the model steps once per character, so everything that reads or writes text (training,
// sessions, sampling) has to cut bytes in exactly the same places. This header is that one definition.
// Cutting never fails: a byte that cannot continue the pending ones closes them as a malformed character,
// and a byte that can start no sequence is a character of its own. Header only and without dependencies, so
// that both native modules can use it; keep it out of files that are compiled with instruction-set flags.
#pragma once

#include <array>
#include <cstdint>

namespace plm {

constexpr uint8_t kUserMark = 0xFD;
constexpr uint8_t kAssistantMark = 0xFE;
constexpr uint8_t kEndMark = 0xFF;

// Rows of the head's prefix tables that stand for "no byte of the next character is known yet".
constexpr int kNoPrefixLead = 256;
constexpr int kNoPrefixPair = 1024;

// How many bytes a sequence that starts with `lead` has: 1 also for bytes that can start none.
inline int sequence_length(uint8_t lead) {
    if (lead >= 0xC2 && lead <= 0xDF) return 2;
    if (lead >= 0xE0 && lead <= 0xEF) return 3;
    if (lead >= 0xF0 && lead <= 0xF4) return 4;
    return 1;
}

// Whether `byte` may be the byte number `position` (1..3) of a sequence that starts with `lead`. The second
// byte is where overlong forms (E0, F0), surrogates (ED) and code points above U+10FFFF (F4) are shut out.
inline bool continues(uint8_t lead, int position, uint8_t byte) {
    uint8_t first = 0x80, last = 0xBF;
    if (position == 1) {
        if (lead == 0xE0) first = 0xA0;
        if (lead == 0xED) last = 0x9F;
        if (lead == 0xF0) first = 0x90;
        if (lead == 0xF4) last = 0x8F;
    }
    return byte >= first && byte <= last;
}

// Whether the bytes may be pending in a cutter: none, or a proper prefix of a valid sequence.
inline bool is_prefix(const uint8_t* bytes, int size) {
    if (size > 0 && size >= sequence_length(bytes[0])) return false;
    for (int i = 1; i < size; ++i)
        if (!continues(bytes[0], i, bytes[i])) return false;
    return true;
}

// The low six bits of each byte, most significant first: a code point without its length bits.
inline uint32_t fold(const uint8_t* bytes, int size) {
    uint32_t acc = 0;
    for (int i = 0; i < size; ++i) acc = (acc << 6) | (bytes[i] & 63u);
    return acc;
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
            if (continues(pending[0], size, byte)) {
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

using ByteMask = std::array<bool, 256>;

// The bytes that generation may draw after the pending ones, so that all that is drawn is strict UTF-8 which
// any channel can carry. Stricter than the cutter in what it lets through at all: no control characters but
// newline and tab, no DEL, and neither U+FFFE nor U+FFFF (XML 1.0, in which WeChat's replies are written,
// forbids them). The end mark is a choice between characters alone; the turn marks never are.
// `pending` must be a proper prefix of a valid sequence, as in a Utf8Cutter. At least one byte is allowed.
inline ByteMask allowed_bytes(const uint8_t* pending, int size, bool end_allowed) {
    ByteMask mask{};
    if (size == 0) {
        for (int b = 0x20; b <= 0xF4; ++b) mask[b] = b < 0x7F || sequence_length(uint8_t(b)) > 1;
        mask['\n'] = mask['\t'] = true;
        mask[kEndMark] = end_allowed;
        return mask;
    }
    for (int b = 0x80; b <= 0xBF; ++b) mask[b] = continues(pending[0], size, uint8_t(b));
    if (size == 2 && pending[0] == 0xEF && pending[1] == 0xBF) mask[0xBE] = mask[0xBF] = false;
    return mask;
}

}  // namespace plm
