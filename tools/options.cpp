#include "options.h"

#include "commands.h"

#include <aft/config.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <system_error>
#include <type_traits>

namespace aft::cli {

namespace {

template<typename Number>
Number parsed(const std::string &what, std::string_view text, Number from, Number to) {
    Number value{};
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || rest != text.data() + text.size() || !(value >= from && value <= to)) {  // NaN too
        throw UsageError(fmt::format("{} '{}' must be a {}number from {} to {}", what, text,
                                     std::is_integral_v<Number> ? "whole " : "", from, to));
    }
    return value;
}

template<typename Number>
void add(CLI::App &command, const std::string &name, std::optional<Number> &value, Number from, Number to,
         const std::string &description) {
    command
        .add_option_function<std::string>(
            name,
            [&value, name, from, to](const std::string &text) {
                try {
                    value = number(name, text, from, to);
                } catch (const UsageError &error) {
                    throw CLI::ConversionError(error.what());
                }
            },
            description)
        ->type_name(std::is_integral_v<Number> ? "INT" : "FLOAT");
}

std::vector<std::string> layer_names() {
    std::vector<std::string> names;
    for (const NamedForm &named : named_forms) {
        names.emplace_back(named.name);
    }
    return names;
}

}  // namespace

std::int64_t number(const std::string &what, std::string_view text, std::int64_t from, std::int64_t to) {
    return parsed(what, text, from, to);
}

double number(const std::string &what, std::string_view text, double from, double to) {
    return parsed(what, text, from, to);
}

void add_number(CLI::App &command, const std::string &name, std::optional<std::int64_t> &value, std::int64_t from,
                std::int64_t to, const std::string &description) {
    add(command, name, value, from, to, description);
}

void add_number(CLI::App &command, const std::string &name, std::optional<double> &value, double from, double to,
                const std::string &description) {
    add(command, name, value, from, to, description);
}

CLI::Option *add_layer(CLI::App &command, std::string &layer) {
    const std::vector<std::string> names = layer_names();
    return command.add_option("--layer", layer, fmt::format("{}", fmt::join(names, ", ")))->check(CLI::IsMember(names));
}

CLI::Option *add_layers(CLI::App &command, std::vector<std::string> &layers) {
    const std::vector<std::string> names = layer_names();
    return command.add_option("--layer", layers, fmt::format("{}; default: all", fmt::join(names, ", ")))
        ->check(CLI::IsMember(names));
}

void add_threads(CLI::App &command, std::optional<std::int64_t> &threads) {
    constexpr std::int64_t max_threads = 256;  // of set_thread_count()
    add_number(command, "--threads", threads, 1, max_threads,
               "number of threads, 1 to 256; default: one for each processor that the process may use");
}

void refuse_empty_values(CLI::App &app) {
    for (CLI::App *const command : app.get_subcommands({})) {
        for (CLI::Option *const option : command->get_options()) {
            const std::string name = option->get_name();
            if (option->get_items_expected_max() > 0 && name != "--prefix") {
                // transform() puts it before the other checks.
                option->transform(CLI::Validator(
                    [name](const std::string &text) -> std::string {
                        return text.empty() ? throw CLI::ConversionError(name + " is empty") : std::string();
                    },
                    ""));
            }
        }
    }
}

std::vector<std::string> reversed_arguments(int argc, char **argv) {
    std::vector<std::string> arguments;
    bool options = true;
    for (int i = 1; i < argc; ++i) {
        const std::string_view argument = argv[i];
        options = options && argument != "--";
        if (options && argument.size() > 3 && argument.substr(0, 2) == "--" &&
            argument.find('=') == argument.size() - 1) {
            arguments.emplace_back(argument.substr(0, argument.size() - 1));
            arguments.emplace_back();
        } else {
            arguments.emplace_back(argument);
        }
    }
    std::reverse(arguments.begin(), arguments.end());
    return arguments;
}

}  // namespace aft::cli
