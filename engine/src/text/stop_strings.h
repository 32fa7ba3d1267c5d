// Stop strings: a text ends before the first of them.
#pragma once

#include <string>
#include <vector>

#include "text.h"

namespace plm {

// Follows a text character by character. Each string is followed by the matcher of Knuth, Morris and Pratt,
// so a character costs the same however long they are.
class StopStrings {
  public:
    // `stops` in the text's encoding; std::invalid_argument for one without a character.
    StopStrings(const std::vector<std::string>& stops, Encoding encoding);

    // Follows one character. Returns how many of the text's last characters a string that is complete now has
    // taken up (of several the one that begins first), or 0.
    int push(const Character& character);

    // How many of the text's last characters may be the beginning of a string, and must be held back.
    int held() const;

    bool empty() const { return stops_.empty(); }

  private:
    struct Stop {
        std::vector<Character> characters;
        std::vector<int> borders;  // of each prefix, the longest proper suffix that is also a prefix
        int matched = 0;           // how many of its first characters the text ends with
    };
    std::vector<Stop> stops_;
};

}  // namespace plm
