#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace aft::cli {

/// The decimal number that the whole text is, in from..to. Throws UsageError, "<what> '<text>' must be ...".
std::int64_t number(const std::string &what, std::string_view text, std::int64_t from, std::int64_t to);
double number(const std::string &what, std::string_view text, double from, double to);

/// Adds an option that takes such a number.
void add_number(CLI::App &command, const std::string &name, std::optional<std::int64_t> &value, std::int64_t from,
                std::int64_t to, const std::string &description);
void add_number(CLI::App &command, const std::string &name, std::optional<double> &value, double from, double to,
                const std::string &description);

/// Adds --layer, which takes the name of a form, or several.
CLI::Option *add_layer(CLI::App &command, std::string &layer);
CLI::Option *add_layers(CLI::App &command, std::vector<std::string> &layers);

/// Adds --threads, with the range of set_thread_count().
void add_threads(CLI::App &command, std::optional<std::int64_t> &threads);

/// An option with an empty text is refused, as a variable of a shell that isn't set gives it; but for --prefix.
void refuse_empty_values(CLI::App &app);

/// The arguments as CLI11 takes them, last first. Of "--option=" it would take the next argument for the value.
std::vector<std::string> reversed_arguments(int argc, char **argv);

}  // namespace aft::cli
