// Rules that training, inference and the kernels must share to the last bit: which bytes make a UTF-8
// character and which may be generated next, and the hashes that tables are looked up by. For host and
// device.
#pragma once
#include <cstdint>

#if defined(__CUDACC__)
#define PLM_BOTH __host__ __device__
#else
#define PLM_BOTH
#endif

namespace plm {

// How many bytes a sequence that starts with `lead` has: 1 also for bytes that can start none.
PLM_BOTH inline int sequence_length(uint8_t lead) {
    if (lead >= 0xC2 && lead <= 0xDF) return 2;
    if (lead >= 0xE0 && lead <= 0xEF) return 3;
    if (lead >= 0xF0 && lead <= 0xF4) return 4;
    return 1;
}

struct ByteRange {
    uint8_t first, last;

    PLM_BOTH bool has(uint8_t byte) const { return byte >= first && byte <= last; }
};

// What the byte number `position` (1..3) of a sequence that starts with `lead` may be. The second byte is
// where overlong forms (E0, F0), surrogates (ED) and code points above U+10FFFF (F4) are shut out.
PLM_BOTH inline ByteRange continuations(uint8_t lead, int position) {
    ByteRange range{0x80, 0xBF};
    if (position == 1) {
        if (lead == 0xE0) range.first = 0xA0;
        if (lead == 0xED) range.last = 0x9F;
        if (lead == 0xF0) range.first = 0x90;
        if (lead == 0xF4) range.last = 0x8F;
    }
    return range;
}

// The same for generation, of which is_allowed says more: without U+FFFE and U+FFFF.
PLM_BOTH inline ByteRange allowed_continuations(const uint8_t* pending, int size) {
    ByteRange range = continuations(pending[0], size);
    if (size == 2 && pending[0] == 0xEF && pending[1] == 0xBF) range.last = 0xBD;
    return range;
}

// Whether generation may sample `byte` after the pending ones, so that all output is strict UTF-8 that any
// channel can carry. Stricter than UTF-8 in what it lets through at all: no control characters but
// newline and tab, no DEL, and neither U+FFFE nor U+FFFF (XML 1.0, in which WeChat's replies are written,
// forbids them). The end mark is a choice between characters alone; the turn marks never are. `pending` must
// be a proper prefix of a valid sequence. At least one byte is allowed.
PLM_BOTH inline bool is_allowed(const uint8_t* pending, int size, bool end_allowed, uint8_t byte) {
    if (size == 0) {
        if (byte == 0xFF) return end_allowed;
        if (byte == '\n' || byte == '\t') return true;
        return byte >= 0x20 && byte <= 0xF4 && (byte < 0x7F || sequence_length(byte) > 1);
    }
    return allowed_continuations(pending, size).has(byte);
}

// The low six bits of each byte, most significant first: a code point without its length bits.
PLM_BOTH inline uint32_t fold(const uint8_t* bytes, int size) {
    uint32_t acc = 0;
    for (int i = 0; i < size; ++i) acc = (acc << 6) | (bytes[i] & 63u);
    return acc;
}

// 32 well-mixed bits of a few bytes: FNV-1a and the finalizer of MurmurHash3.
PLM_BOTH inline uint32_t hash_bytes(const uint8_t* bytes, int size, uint32_t seed = 0) {
    uint32_t h = 2166136261u ^ seed;
    for (int i = 0; i < size; ++i) h = (h ^ bytes[i]) * 16777619u;
    h = (h ^ (h >> 16)) * 0x85EBCA6Bu;
    h = (h ^ (h >> 13)) * 0xC2B2AE35u;
    return h ^ (h >> 16);
}

// Rows of the head's prefix tables that stand for "no byte of the next patch is known yet".
constexpr int kNoPrefixLead = 256;
constexpr int kNoPrefixPair = 1024;

// Rows of the head's tables for the byte that comes next.
struct OpenRows {
    int lead, pair, prefix, suffix;
};

// From the bytes of the open patch: a run of ASCII, or the beginning of one character.
PLM_BOTH inline OpenRows open_rows(const uint8_t* bytes, int size, int prefixes) {
    const int two = size < 2 ? size : 2, three = size < 3 ? size : 3;
    OpenRows rows{kNoPrefixLead, kNoPrefixPair, 0, 0};
    if (size > 0 && bytes[0] < 0x80) {
        rows.lead = bytes[size - 1];
        rows.pair = static_cast<int>(hash_bytes(bytes + size - two, two) & 1023);
    } else if (size > 0) {
        rows.lead = bytes[0], rows.pair = static_cast<int>(fold(bytes, size) & 1023);
    }
    if (prefixes > 0) {
        rows.prefix = static_cast<int>(hash_bytes(bytes, size, 1) % static_cast<uint32_t>(prefixes));
        rows.suffix =
            static_cast<int>(hash_bytes(bytes + size - three, three, 2) % static_cast<uint32_t>(prefixes));
    }
    return rows;
}

}  // namespace plm
