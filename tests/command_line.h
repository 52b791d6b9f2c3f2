#pragma once

#include "temporary_file.h"

#include <sys/types.h>

#include <string>

namespace aft {

struct Outcome {
    int exit_code;  ///< -1: ended by a signal
    std::string out, err;
};

/// Runs the built command line, with "NAME=value ..." in its environment; options of `env` may stand there too. The
/// arguments are words of a shell: names with spaces need quotes, and streams may be redirected. Standard output is a
/// pipe otherwise.
Outcome aft_cli(const std::string &arguments, const std::string &environment = "");

/// Starts it, with the streams of this process. The caller waits for its end.
pid_t start_aft_cli(const std::string &arguments, const std::string &environment = "");

std::string content(const std::string &path);

bool is_one_line(const std::string &text);

/// Wrong usage or bad input: exit code 2, one line that has the word, nothing else written, nothing in the folder.
void check_refused(const std::string &arguments, const std::string &word, const Folder &folder);

}  // namespace aft
