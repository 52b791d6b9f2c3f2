#include "journal.h"

#include "shape.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace aft::tune {

namespace {

using Json = nlohmann::ordered_json;

void append(const std::filesystem::path &path, const std::string &line) {
    errno = 0;
    std::ofstream file(path, std::ios::app);
    file << line << '\n';
    file.close();
    if (!file) {
        throw std::runtime_error(fmt::format("cannot write {}: {}", path.string(), std::strerror(errno)));
    }
}

Json to_json(const Candidate &candidate) {
    return {{"schedule", candidate.autoscheduler.empty() ? "packed" : candidate.autoscheduler},
            {"params", candidate.params}};
}

const char *outcome_of(const TrialResult &result) {
    switch (result.stage) {
        case Stage::build: return "failed to build";
        case Stage::check: return "wrong";
        case Stage::run: return "failed to run";
        case Stage::measured: break;
    }
    return result.verdict == Verdict::faster ? "faster" : "slower";
}

}  // namespace

Journal::Journal(const std::filesystem::path &file) : file_(file) {
    std::ifstream lines(file);
    for (std::string line; std::getline(lines, line);) {
        const Json row = Json::parse(line, nullptr, /*allow_exceptions=*/false);
        if (!row.is_object() || !row.contains("trial")) {
            continue;  // the end of a run that was killed while it wrote
        }
        TrialResult result;
        result.verdict = row.value("faster", false) ? Verdict::faster : Verdict::not_faster;
        result.ratio = row.value("ratio", 0.0);
        result.rounds = row.value("rounds", 0);
        result.failure = row.value("failure", "");
        results_[row["trial"].get<std::string>()] = result;
    }
    append(file, "");  // starts a new line after such an end
}

const TrialResult *Journal::find(const std::string &key) const {
    const auto found = results_.find(key);
    return found == results_.end() ? nullptr : &found->second;
}

void Journal::add(const std::string &key, const TrialResult &result, const TrialContext &context) {
    results_[key] = result;
    const LayerConfig &config = context.problem.config;
    // Output of tools may not be UTF-8.
    append(file_, Json{{"trial", key},
                       {"faster", result.verdict == Verdict::faster},
                       {"ratio", result.ratio},
                       {"rounds", result.rounds},
                       {"incumbent_ms", result.incumbent_ms},
                       {"candidate_ms", result.candidate_ms},
                       {"failure", result.failure},
                       {"outcome", outcome_of(result)},
                       {"search", context.search},
                       {"seconds", context.seconds},
                       {"layer", name(config.form)},
                       {"shape", shape_of(context.problem)},
                       {"threads", context.threads},
                       {"candidate", to_json(context.candidate)},
                       {"incumbent", to_json(context.incumbent)},
                       {"build_cpu_seconds", context.build_cpu_seconds},
                       {"best_ratio", context.best_ratio}}
                      .dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace aft::tune
