#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace aft::tune {

/// Runs a program, which is looked for in PATH unless its name has a slash, and waits for it. What it prints goes to
/// the file `log`. Returns whether it ended with exit code 0, and adds the processor time that it and its children
/// took. Throws std::runtime_error when it can't be started.
bool run_program(const std::vector<std::string> &command, const std::filesystem::path &log, double &cpu_seconds);

}  // namespace aft::tune
