#pragma once

#include <filesystem>
#include <string>

namespace aft {

/// A folder that goes away with the test.
class Folder {
public:
    Folder();
    ~Folder();
    Folder(const Folder &) = delete;
    Folder &operator=(const Folder &) = delete;

    std::string operator/(const std::string &name) const {
        return (path / name).string();
    }
    bool empty() const {
        return std::filesystem::is_empty(path);
    }

private:
    std::filesystem::path path;
};

struct Outcome {
    int exit_code;  ///< -1: ended by a signal
    std::string out, err;
};

/// Runs the built command line, with "NAME=value ..." in its environment. The paths and names of the tests need no
/// quotes.
Outcome aft_cli(const std::string &arguments, const std::string &environment = "");

bool is_one_line(const std::string &text);

}  // namespace aft
