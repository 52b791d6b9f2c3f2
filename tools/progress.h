#pragma once

#include "streams.h"

#include <unistd.h>

#include <string>

namespace aft::cli {

/// Shows one line on standard error. One that isn't `lasting` is replaced by the next, and shown on a terminal only.
inline void show_progress(const std::string &line, bool lasting) {
    if (isatty(STDERR_FILENO) != 0) {
        say("\r\033[K" + line + (lasting ? "\n" : ""));
    } else if (lasting) {
        say(line + "\n");
    }
}

}  // namespace aft::cli
