#include "command_line.h"

#include <catch2/catch_test_macros.hpp>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace aft {
namespace {

// The tool takes the shell's place, so that its status is the process's own.
std::string command_of(const std::string &streams, const std::string &arguments, const std::string &environment) {
    const char *const path = std::getenv("AFT_CLI");  // where the tests don't run where they were built
    return "exec env " + environment + " " + (path ? path : AFT_CLI) + " " + streams + " " + arguments;
}

}  // namespace

Outcome aft_cli(const std::string &arguments, const std::string &environment) {
    const Folder streams;
    const std::string err = streams / "err";
    std::FILE *const out = popen(command_of("2>" + err, arguments, environment).c_str(), "r");
    if (out == nullptr) {
        throw std::runtime_error("no shell can be started");
    }
    Outcome outcome{};
    char part[4096];
    for (std::size_t bytes; (bytes = std::fread(part, 1, sizeof part, out)) > 0;) {
        outcome.out.append(part, bytes);
    }
    const int status = pclose(out);
    outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    outcome.err = content(err);
    return outcome;
}

pid_t start_aft_cli(const std::string &arguments, const std::string &environment) {
    std::string shell = "sh", option = "-c", command = command_of("", arguments, environment);
    char *const words[] = {shell.data(), option.data(), command.data(), nullptr};
    pid_t process = 0;
    if (posix_spawn(&process, "/bin/sh", nullptr, nullptr, words, environ) != 0) {
        throw std::runtime_error("no shell can be started");
    }
    return process;
}

std::string content(const std::string &path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
}

bool is_one_line(const std::string &text) {
    return !text.empty() && std::count(text.begin(), text.end(), '\n') == 1 && text.back() == '\n';
}

void check_refused(const std::string &arguments, const std::string &word, const Folder &folder) {
    INFO("aft " << arguments);
    const Outcome outcome = aft_cli(arguments);
    INFO(outcome.err);
    CHECK(outcome.exit_code == 2);
    CHECK(is_one_line(outcome.err));
    CHECK(outcome.err.find(word) != std::string::npos);
    CHECK(outcome.out.empty());
    CHECK(folder.empty());
}

}  // namespace aft
