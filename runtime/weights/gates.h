#pragma once

#include <aft/config.h>

#include <optional>
#include <string_view>

namespace aft {

inline constexpr struct {
    std::string_view name;
    Gate gate;
} named_gates[] = {
    {"sigmoid", Gate::sigmoid},
    {"tanh", Gate::tanh},
    {"none", Gate::none},
    {"identity", Gate::identity},
};

/// Empty for a value that is none of them.
constexpr std::string_view name_of(Gate gate) {
    for (const auto &named : named_gates) {
        if (named.gate == gate) {
            return named.name;
        }
    }
    return "";
}

/// Nothing for a text that is the name of none.
constexpr std::optional<Gate> gate_named(std::string_view name) {
    for (const auto &named : named_gates) {
        if (named.name == name) {
            return named.gate;
        }
    }
    return std::nullopt;
}

}  // namespace aft
