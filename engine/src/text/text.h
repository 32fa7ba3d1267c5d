// The text's characters in whatever encoding a model reads, and which bytes keep what is written valid.
#pragma once

#include <cstdint>
#include <string>

#include "utf8.h"

namespace plm {

// How text becomes a model's bytes. The end mark and the turn marks exist in UTF-8 alone.
enum class Encoding : uint8_t { kUtf8, kUtf16le, kUtf16be };

// utf-8, utf-16le or utf-16be; std::invalid_argument for any other name.
Encoding encoding_named(const std::string& name);

// The character of a text that is still open, in the text's encoding. Cutting never fails, as in Utf8Cutter;
// of UTF-16, a surrogate without its other half is a malformed character of two bytes.
class TextCutter {
  public:
    explicit TextCutter(Encoding encoding) : encoding_(encoding) {}
    TextCutter(const Utf8Cutter& open) : encoding_(Encoding::kUtf8), open_(open) {}

    // Takes one byte; writes the characters that it closes, in order, and returns how many (0, 1 or 2).
    int push(uint8_t byte, Character closed[2]);

    // The bytes that generation may sample next, as in allowed_bytes of utf8.h; at least one.
    ByteMask allowed(bool end_allowed) const;

    // The fewest bytes that the open character can have once `next` belongs to it.
    int least_size(uint8_t next) const;

    // The 0..3 bytes of the open character. Setting them returns false for what cannot be one's beginning.
    const uint8_t* pending() const { return open_.pending; }
    int size() const { return open_.size; }
    bool set_pending(const std::string& bytes);

    Encoding encoding() const { return encoding_; }
    // For the models that step by UTF-8 characters.
    const Utf8Cutter& utf8() const { return open_; }

  private:
    uint8_t unit_high(int first) const;  // the more significant byte of the two that begin at `first`
    int push_utf16(uint8_t byte, Character closed[2]);
    ByteMask allowed_utf16() const;

    Encoding encoding_;
    Utf8Cutter open_;  // where the pending bytes lie, for UTF-16 too
};

}  // namespace plm
