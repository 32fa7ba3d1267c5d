#include "stop_strings.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace plm {
namespace {

bool same(const Character& a, const Character& b) {
    return a.size == b.size && std::memcmp(a.bytes, b.bytes, a.size) == 0;
}

std::vector<Character> cut(const std::string& text, Encoding encoding) {
    TextCutter cutter(encoding);
    std::vector<Character> out;
    for (const char byte : text) {
        Character closed[2];
        const int count = cutter.push(uint8_t(byte), closed);
        out.insert(out.end(), closed, closed + count);
    }
    if (cutter.size() > 0) throw std::invalid_argument("a stop string must not end inside a character");
    return out;
}

}  // namespace

StopStrings::StopStrings(const std::vector<std::string>& stops, Encoding encoding) {
    for (const std::string& text : stops) {
        Stop stop{cut(text, encoding), {}, 0};
        if (stop.characters.empty()) throw std::invalid_argument("a stop string must not be empty");
        stop.borders.resize(stop.characters.size());
        for (size_t i = 1, length = 0; i < stop.characters.size(); ++i) {
            while (length > 0 && !same(stop.characters[i], stop.characters[length]))
                length = size_t(stop.borders[length - 1]);
            length += same(stop.characters[i], stop.characters[length]);
            stop.borders[i] = int(length);
        }
        stops_.push_back(std::move(stop));
    }
}

int StopStrings::push(const Character& character) {
    int complete = 0;
    for (Stop& stop : stops_) {
        const auto is_next = [&] { return same(stop.characters[size_t(stop.matched)], character); };
        while (stop.matched > 0 && !is_next()) stop.matched = stop.borders[size_t(stop.matched - 1)];
        stop.matched += is_next();
        if (size_t(stop.matched) < stop.characters.size()) continue;
        complete = std::max(complete, stop.matched);
        stop.matched = stop.borders.back();
    }
    return complete;
}

int StopStrings::held() const {
    int most = 0;
    for (const Stop& stop : stops_) most = std::max(most, stop.matched);
    return most;
}

}  // namespace plm
