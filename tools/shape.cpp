#include "shape.h"

#include "commands.h"
#include "options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <tuple>
#include <vector>

namespace aft::cli {

namespace {

constexpr std::int64_t default_window = 32;
constexpr std::int64_t max_elements = std::numeric_limits<std::int32_t>::max();

// Numbers separated by commas. Throws UsageError.
std::vector<std::int64_t> numbers(const std::string &text) {
    std::vector<std::int64_t> result;
    for (std::size_t begin = 0, end = 0; end != std::string::npos; begin = end + 1) {
        end = text.find(',', begin);
        const std::string part = text.substr(begin, end == std::string::npos ? end : end - begin);
        result.push_back(number(fmt::format("--shape '{}':", text), part, 0, std::numeric_limits<std::int64_t>::max()));
    }
    return result;
}

}  // namespace

Problem problem(const std::string &text, LayerForm form) {
    std::vector<std::int64_t> extents = numbers(text);
    if (extents.size() == 4) {
        extents.push_back(default_window);
    }
    if (extents.size() != 5 || *std::min_element(extents.begin(), extents.end() - 1) < 1) {
        throw UsageError(
            fmt::format("--shape '{}' must be B,T,H,P or B,T,H,P,s with B, T, H, P at least 1 and s at least 0", text));
    }
    const auto [batch, seq, hidden, projected, window] =
        std::tie(extents[0], extents[1], extents[2], extents[3], extents[4]);
    // In floating point, as the products may overflow.
    const double largest = std::max(
        {1.0 * batch * seq * hidden, 1.0 * batch * seq * projected, 1.0 * hidden * projected, 1.0 * seq * seq});
    if (largest > max_elements) {
        throw UsageError(
            fmt::format("--shape '{}' has a tensor of {:g} elements, the limit is {}", text, largest, max_elements));
    }
    Problem result;
    result.config = {form, hidden, projected, seq, form.has_window() ? window : 0};
    result.shape = {batch, seq};
    return result;
}

std::string shape_help() {
    return fmt::format("B,T,H,P or, with a window, B,T,H,P,s; default s: {}", default_window);
}

}  // namespace aft::cli
