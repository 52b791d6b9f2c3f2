#pragma once

#include "candidate.h"
#include "trial.h"

#include <filesystem>
#include <map>
#include <string>

namespace aft::tune {

/// When and how the search came to a trial.
struct TrialContext {
    std::string search;  ///< when the search began; the same for all of its trials
    double seconds = 0;  ///< since then, at the end of the trial
    Problem problem;
    int threads = 0;
    Candidate candidate, incumbent;
    double build_cpu_seconds = 0;  ///< of generating and linking the candidate; 0 where it had been built
    double best_ratio = 1;         ///< of the best candidate so far, this one included: its time over that of `packed`
};

/// The results of trials, in a file of JSON lines (docs/tuning.md): a search that was interrupted goes through them
/// again in no time. They also are the trace of each search.
class Journal {
public:
    /// Reads what is there. Throws std::runtime_error when the file can't be written to.
    explicit Journal(const std::filesystem::path &file);

    /// Null when it isn't there.
    const TrialResult *find(const std::string &key) const;

    /// Throws std::runtime_error when the line can't be written.
    void add(const std::string &key, const TrialResult &result, const TrialContext &context);

private:
    std::filesystem::path file_;
    std::map<std::string, TrialResult> results_;
};

}  // namespace aft::tune
