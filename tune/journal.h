#pragma once

#include "trial.h"

#include <filesystem>
#include <map>
#include <string>

namespace aft::tune {

/// The results of trials, in a file of JSON lines: a search that was interrupted goes through them again in no time.
class Journal {
public:
    /// Reads what is there. Throws std::runtime_error when the file can't be written to.
    explicit Journal(const std::filesystem::path &file);

    /// Null when it isn't there.
    const TrialResult *find(const std::string &key) const;

    /// Throws std::runtime_error when the line can't be written.
    void add(const std::string &key, const TrialResult &result);

private:
    std::filesystem::path file_;
    std::map<std::string, TrialResult> results_;
};

}  // namespace aft::tune
