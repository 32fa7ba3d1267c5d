// Patches: what the trunk of a model steps over. utf8.h cuts bytes into characters; a rule says which
// characters make one patch. Every rule is total (any bytes are cut somehow) and decided byte by byte, and a
// patch's bytes in order are the text, so nothing is lost.
#pragma once

#include <cstring>

#include "utf8.h"

namespace plm {

enum class PatchRule : uint8_t {
    kCharacter,  // a UTF-8 character, or a byte that fits nowhere
    kWord,       // up to `longest` ASCII letters and digits, or an ASCII mark, each with a space that
                 // follows it; any other character by itself
    kByte,
};

constexpr int kLongestRun = 15;

// One closed patch of 1..kLongestRun+1 bytes.
struct Patch {
    uint8_t bytes[kLongestRun + 1];
    uint8_t size;
};

// 32 well-mixed bits of a few bytes: FNV-1a and the finalizer of MurmurHash3.
inline uint32_t hash_bytes(const uint8_t* bytes, int size, uint32_t seed = 0) {
    uint32_t h = 2166136261u ^ seed;
    for (int i = 0; i < size; ++i) h = (h ^ bytes[i]) * 16777619u;
    h = (h ^ (h >> 16)) * 0x85EBCA6Bu;
    h = (h ^ (h >> 13)) * 0xC2B2AE35u;
    return h ^ (h >> 16);
}

// Order matters: mix(a, b) is not mix(b, a).
inline uint32_t mix_hashes(uint32_t a, uint32_t b) {
    uint32_t h = (a * 0x9E3779B1u) ^ b;
    h = (h ^ (h >> 15)) * 0x85EBCA6Bu;
    return h ^ (h >> 13);
}

// Cuts a byte stream into patches. The whole state is the bytes of the patch that is still open.
struct PatchCutter {
    PatchRule rule = PatchRule::kCharacter;
    uint8_t longest = 7;
    Utf8Cutter character;
    uint8_t run[kLongestRun] = {};  // ASCII bytes that wait for more; none while a character is open
    uint8_t run_size = 0;

    const uint8_t* pending() const { return run_size > 0 ? run : character.pending; }
    int size() const { return run_size > 0 ? run_size : character.size; }

    // Takes one byte; writes the patches that it closes, in order, and returns how many (0, 1 or 2).
    int push(uint8_t byte, Patch closed[2]) {
        if (rule == PatchRule::kByte) return close(&byte, 1, closed[0]);
        if (rule == PatchRule::kCharacter) return push_character(byte, closed);
        int count = 0;
        if (byte >= 0x80) {
            count += close_run(closed);
            return count + push_character(byte, closed + count);
        }
        if (character.size > 0) {
            Character malformed;
            character.flush(&malformed);
            count += close(malformed.bytes, malformed.size, closed[count]);
        }
        bool joins = byte == ' ' || (is_alphanumeric(byte) && is_alphanumeric(run[0]) && run_size < longest);
        if (run_size > 0 && !joins) count += close_run(closed + count);
        if (byte > ' ' && byte < 0x7F) {
            run[run_size++] = byte;
            return count;
        }
        if (run_size == 0) return count + close(&byte, 1, closed[count]);
        count += close_run(closed + count);
        Patch& last = closed[count - 1];
        last.bytes[last.size++] = byte;
        return count;
    }

  private:
    static bool is_alphanumeric(uint8_t b) {
        return (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9');
    }
    static int close(const uint8_t* bytes, int size, Patch& out) {
        out = Patch{};
        std::memcpy(out.bytes, bytes, size_t(size));
        out.size = uint8_t(size);
        return 1;
    }
    int close_run(Patch* out) {
        if (run_size == 0) return 0;
        close(run, run_size, *out);
        run_size = 0;
        return 1;
    }
    int push_character(uint8_t byte, Patch* closed) {
        Character characters[2];
        int count = character.push(byte, characters);
        for (int i = 0; i < count; ++i) close(characters[i].bytes, characters[i].size, closed[i]);
        return count;
    }
};

// Row of a patch in a table of `rows`: single bytes have the first 256 rows to themselves.
inline int patch_row(const Patch& p, int rows) {
    if (p.size == 1) return p.bytes[0];
    if (p.bytes[0] >= 0x80) return int(fold(p.bytes, p.size) % uint32_t(rows));
    return int(hash_bytes(p.bytes, p.size) % uint32_t(rows));
}

// Rows of the head's tables for the byte that comes next, from the bytes of the open patch.
inline int prefix_lead_row(const uint8_t* bytes, int size) {
    if (size == 0) return kNoPrefixLead;
    return bytes[0] < 0x80 ? bytes[size - 1] : bytes[0];
}
inline int prefix_pair_row(const uint8_t* bytes, int size) {
    if (size == 0) return kNoPrefixPair;
    if (bytes[0] >= 0x80) return int(fold(bytes, size) & 1023);
    int tail = size < 2 ? size : 2;
    return int(hash_bytes(bytes + size - tail, tail) & 1023);
}

}  // namespace plm
