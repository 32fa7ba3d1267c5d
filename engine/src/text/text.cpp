#include "text.h"

#include <algorithm>
#include <stdexcept>

namespace plm {
namespace {

bool is_high_surrogate(uint8_t high) {
    return high >= 0xD8 && high <= 0xDB;
}

bool is_low_surrogate(uint8_t high) {
    return high >= 0xDC && high <= 0xDF;
}

// The same restrictions on what is written as in host_device/text_rules.h, for one code unit that is no
// surrogate.
bool is_writable(uint8_t high, uint8_t low) {
    if (high == 0x00) return low == '\n' || low == '\t' || (low >= 0x20 && low != 0x7F);
    return high != 0xFF || low < 0xFE;
}

}  // namespace

Encoding encoding_named(const std::string& name) {
    if (name == "utf-8") return Encoding::kUtf8;
    if (name == "utf-16le") return Encoding::kUtf16le;
    if (name == "utf-16be") return Encoding::kUtf16be;
    throw std::invalid_argument("unknown encoding '" + name + "'");
}

int TextCutter::push(uint8_t byte, Character closed[2]) {
    return encoding_ == Encoding::kUtf8 ? open_.push(byte, closed) : push_utf16(byte, closed);
}

uint8_t TextCutter::unit_high(int first) const {
    return open_.pending[first + (encoding_ == Encoding::kUtf16le ? 1 : 0)];
}

int TextCutter::push_utf16(uint8_t byte, Character closed[2]) {
    Character all{};
    std::copy_n(open_.pending, open_.size, all.bytes);
    all.bytes[open_.size] = byte;
    all.size = uint8_t(open_.size + 1);
    if (all.size % 2 != 0) {  // half a unit
        open_.pending[open_.size++] = byte;
        return 0;
    }
    const int last = all.size - 2;
    const uint8_t high = encoding_ == Encoding::kUtf16le ? byte : all.bytes[last];
    int count = 0;
    if (last == 2 && !is_low_surrogate(high)) {  // the surrogate before has no other half
        closed[count++] = Character{{all.bytes[0], all.bytes[1], 0, 0}, 2};
        all = Character{{all.bytes[2], all.bytes[3], 0, 0}, 2};
    }
    open_.size = 0;
    if (all.size == 2 && is_high_surrogate(high)) {
        std::copy_n(all.bytes, 2, open_.pending);
        open_.size = 2;
        return count;
    }
    closed[count++] = all;
    return count;
}

ByteMask TextCutter::allowed(bool end_allowed) const {
    return encoding_ == Encoding::kUtf8 ? allowed_bytes(open_.pending, open_.size, end_allowed)
                                        : allowed_utf16();
}

ByteMask TextCutter::allowed_utf16() const {
    const bool high_first = encoding_ == Encoding::kUtf16be, half = open_.size % 2 != 0;
    const bool after_surrogate = open_.size >= 2;
    const uint8_t other = half ? open_.pending[open_.size - 1] : 0;
    ByteMask mask{};
    for (int b = 0; b < 256; ++b) {
        const uint8_t byte = uint8_t(b);
        bool allowed;
        if (half != high_first) {  // this byte is a unit's more significant one
            if (after_surrogate)
                allowed = is_low_surrogate(byte);
            else
                allowed =
                    !is_low_surrogate(byte) && (!half || is_high_surrogate(byte) || is_writable(byte, other));
        } else {
            allowed = !half || after_surrogate || is_high_surrogate(other) || is_writable(other, byte);
        }
        mask.set(b, allowed);
    }
    return mask;
}

int TextCutter::least_size(uint8_t next) const {
    const int size = open_.size;
    if (encoding_ == Encoding::kUtf8) return sequence_length(size > 0 ? open_.pending[0] : next);
    const int where = encoding_ == Encoding::kUtf16le ? 1 : 0;  // of the byte that shows a surrogate
    if (size < where) return 2;
    return is_high_surrogate(size == where ? next : open_.pending[where]) ? 4 : 2;
}

bool TextCutter::set_pending(const std::string& bytes) {
    const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
    if (bytes.size() > 3) return false;
    if (encoding_ == Encoding::kUtf8 && !is_prefix(data, int(bytes.size()))) return false;
    std::copy_n(data, bytes.size(), open_.pending);
    open_.size = uint8_t(bytes.size());
    return encoding_ == Encoding::kUtf8 || open_.size < 2 || is_high_surrogate(unit_high(0));
}

}  // namespace plm
