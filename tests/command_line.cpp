#include "command_line.h"

#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace aft {
namespace {

std::string content(const std::string &path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

}  // namespace

Folder::Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "aft_cli_XXXXXX").string();
    path = mkdtemp(pattern.data());
}

Folder::~Folder() {
    std::filesystem::remove_all(path);
}

Outcome aft_cli(const std::string &arguments, const std::string &environment) {
    const Folder streams;
    const std::string out = streams / "out", err = streams / "err";
    const char *const path = std::getenv("AFT_CLI");  // where the tests don't run where they were built
    const std::string command =
        "env " + environment + " " + (path ? path : AFT_CLI) + " " + arguments + " >" + out + " 2>" + err;
    const int status = std::system(command.c_str());
    const bool exited = WIFEXITED(status) && WEXITSTATUS(status) < 128;  // above: the shell tells of a signal
    return {exited ? WEXITSTATUS(status) : -1, content(out), content(err)};
}

bool is_one_line(const std::string &text) {
    return !text.empty() && std::count(text.begin(), text.end(), '\n') == 1 && text.back() == '\n';
}

}  // namespace aft
