#pragma once

#include "options.h"

#include <CLI/CLI.hpp>

#include <stdexcept>
#include <string>

namespace aft::cli {

enum ExitCode : int { done = 0, failure = 1, bad_input = 2 };

/// Wrong usage or bad input: exit code 2, as for the ConfigError, DeviceError, ShapeError and WeightsError of
/// the library.
class UsageError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Each adds a command to the application. It runs while the arguments are parsed, once they are all known to be right,
/// and throws what goes wrong.
void add_kernels(CLI::App &app);
void add_devices(CLI::App &app);
void add_run(CLI::App &app);
void add_bench(CLI::App &app, const std::string &command_line);
void add_tune(CLI::App &app);

/// All of them.
inline void add_commands(CLI::App &app, const std::string &command_line) {
    add_kernels(app);
    add_devices(app);
    add_run(app);
    add_bench(app, command_line);
    add_tune(app);
    refuse_empty_values(app);
}

}  // namespace aft::cli
