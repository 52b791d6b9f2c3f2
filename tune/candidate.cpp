#include "candidate.h"

#include <fmt/format.h>

namespace aft::tune {

namespace {

std::vector<std::string> as_arguments(const Candidate &candidate) {
    std::vector<std::string> arguments;
    for (const auto &[name, value] : candidate.params) {
        arguments.push_back(fmt::format("{}={}", name, value));
    }
    return arguments;
}

}  // namespace

std::string describe(const Candidate &candidate) {
    std::string text = candidate.autoscheduler.empty() ? "packed" : candidate.autoscheduler;
    for (const std::string &argument : as_arguments(candidate)) {
        text += " " + argument;
    }
    return text;
}

std::vector<Axis> packed_axes(int lanes) {
    // The defaults of generators/schedules/tiles.h are left out: 0 stands for them. A register tile of more rows than
    // these doesn't fit the registers: two vectors a row, and two for the right panel.
    const std::vector<int> rows = lanes == 16 ? std::vector<int>{0, 8, 10, 14, 6} : std::vector<int>{0, 4, 5};
    const std::vector<int> blocks =
        lanes == 16 ? std::vector<int>{0, 6, 8, 16, 24, 4} : std::vector<int>{0, 12, 16, 36, 48};
    return {{"tile_rows", rows}, {"block_rows", blocks}, {"depth", {0, 128, 192, 384, 512, 1024}}};
}

int vector_lanes(const std::string &target) {
    const auto has = [&](const char *word) { return target.find(word) != std::string::npos; };
    return has("-avx512") ? 16 : has("-avx") ? 8 : 4;
}

Candidate random_adams2019(int seed) {
    return {"Adams2019",
            {{"autoscheduler.beam_size", 1},
             {"autoscheduler.random_dropout", 1},
             {"autoscheduler.random_dropout_seed", seed}}};
}

std::vector<std::string> prepare_arguments(const Candidate &candidate) {
    if (!candidate.autoscheduler.empty()) {
        return {"schedule=naive"};
    }
    std::vector<std::string> arguments = as_arguments(candidate);
    arguments.insert(arguments.begin(), {"schedule=packed", "device=cpu"});
    return arguments;
}

std::vector<std::string> forward_arguments(const Candidate &candidate, const Problem &problem) {
    if (candidate.autoscheduler.empty()) {
        return prepare_arguments(candidate);
    }
    std::vector<std::string> arguments = as_arguments(candidate);
    arguments.insert(arguments.end(), {"schedule=naive", "device=cpu", "autoscheduler=" + candidate.autoscheduler,
                                       fmt::format("estimated_batch={}", problem.shape.batch),
                                       fmt::format("estimated_seq={}", problem.shape.seq),
                                       fmt::format("estimated_hidden={}", problem.config.hidden),
                                       fmt::format("estimated_projected={}", problem.config.projected),
                                       fmt::format("estimated_window={}", problem.config.window)});
    return arguments;
}

}  // namespace aft::tune
