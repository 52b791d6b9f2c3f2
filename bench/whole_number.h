#pragma once

#include <charconv>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <system_error>

namespace aft::bench {

/// The decimal number that the whole text is. Throws std::invalid_argument.
inline std::int64_t whole_number(const std::string &text) {
    std::int64_t value = 0;
    const char *const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc() || rest != end) {
        throw std::invalid_argument("'" + text + "' isn't a whole number of 64 bits");
    }
    return value;
}

}  // namespace aft::bench
