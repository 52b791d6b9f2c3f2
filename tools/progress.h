#pragma once

#include <fmt/format.h>

#include <unistd.h>

#include <cstdio>
#include <string>

namespace aft::cli {

/// Shows one line on standard error. One that isn't `lasting` is replaced by the next, and shown on a terminal only.
inline void show_progress(const std::string &line, bool lasting) {
    const bool terminal = isatty(STDERR_FILENO) != 0;
    if (terminal) {
        fmt::print(stderr, "\r\033[K{}{}", line, lasting ? "\n" : "");
    } else if (lasting) {
        fmt::print(stderr, "{}\n", line);
    }
    std::fflush(stderr);
}

}  // namespace aft::cli
