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

// Order matters: mix(a, b) is not mix(b, a).
inline uint32_t mix_hashes(uint32_t a, uint32_t b) {
    uint32_t h = (a * 0x9E3779B1u) ^ b;
    h = (h ^ (h >> 15)) * 0x85EBCA6Bu;
    return h ^ (h >> 13);
}

// One closed patch, and what the tables of n-grams are looked up by.
struct Patch {
    uint8_t bytes[kLongestRun + 1];
    uint8_t size;
    uint32_t pair, triple;  // hashes of it with the one and the two patches before

    // Row in a table of `rows`: single bytes have the first 256 rows to themselves.
    int row(int rows) const {
        if (size == 1) return bytes[0];
        uint32_t h = bytes[0] >= 0x80 ? fold(bytes, size) : hash_bytes(bytes, size);
        return int(h % uint32_t(rows));
    }
    // Words are also known by their pieces of three bytes, zeros standing before and behind.
    int pieces() const { return size > 1 && bytes[0] < 0x80 ? size : 0; }
    int piece_row(int i, int rows) const {
        const uint8_t piece[] = {i > 0 ? bytes[i - 1] : uint8_t(0), bytes[i],
                                 i + 1 < size ? bytes[i + 1] : uint8_t(0)};
        return int(hash_bytes(piece, 3, 7) % uint32_t(rows));
    }
};

// Cuts a byte stream into patches. The whole state is the bytes of the patch that is still open, and two
// hashes.
struct PatchCutter {
    PatchRule rule = PatchRule::kCharacter;
    uint8_t longest = 7;
    Utf8Cutter character;
    uint8_t run[kLongestRun + 1] = {};  // ASCII bytes that wait for more; none while a character is open
    uint8_t run_size = 0;
    uint32_t before[2] = {};  // hashes of the last two patches, the last one first

    const uint8_t* open() const { return run_size > 0 ? run : character.pending; }
    int open_size() const { return run_size > 0 ? run_size : character.size; }

    // Takes one byte; writes the patches that it closes, in order, and returns how many (0, 1 or 2).
    int push(uint8_t byte, Patch closed[2]) {
        if (rule == PatchRule::kByte) return close(&byte, 1, closed);
        if (rule == PatchRule::kCharacter) return push_character(byte, closed);
        int count = 0;
        if (byte >= 0x80) {
            count += close_run(closed);
            return count + push_character(byte, closed + count);
        }
        Character malformed;
        if (character.flush(&malformed)) count += close(malformed.bytes, malformed.size, closed);
        const bool joins =
            byte == ' ' || (is_alphanumeric(byte) && is_alphanumeric(run[0]) && run_size < longest);
        if (!joins) count += close_run(closed + count);
        run[run_size++] = byte;
        if (byte > ' ' && byte < 0x7F) return count;
        return count + close_run(closed + count);
    }

    OpenRows open_rows(int prefixes) const { return plm::open_rows(open(), open_size(), prefixes); }

  private:
    static bool is_alphanumeric(uint8_t b) {
        return (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9');
    }
    int close(const uint8_t* bytes, int size, Patch* out) {
        *out = Patch{};
        std::memcpy(out->bytes, bytes, size_t(size));
        out->size = uint8_t(size);
        const uint32_t hash = hash_bytes(bytes, size);
        out->pair = mix_hashes(before[0], hash);
        out->triple = mix_hashes(before[1], out->pair);
        before[1] = before[0], before[0] = hash;
        return 1;
    }
    int close_run(Patch* out) {
        if (run_size == 0) return 0;
        const int size = run_size;
        run_size = 0;
        return close(run, size, out);
    }
    int push_character(uint8_t byte, Patch* closed) {
        Character characters[2];
        const int count = character.push(byte, characters);
        for (int i = 0; i < count; ++i) close(characters[i].bytes, characters[i].size, closed + i);
        return count;
    }
};

}  // namespace plm
