#include "candidate.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

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

Candidate with(Candidate candidate, const Axis &axis, const std::map<std::string, int> &setting) {
    for (const auto &other : axis.settings) {
        for (const auto &[name, value] : other) {
            candidate.params.erase(name);
        }
    }
    candidate.params.insert(setting.begin(), setting.end());
    return candidate;
}

std::vector<Axis> packed_axes(LayerForm layer, int lanes) {
    // The defaults of generators/schedules/tiles.h are left out.
    const auto one = [](const char *name, const std::vector<int> &values) {
        Axis axis{{{}}};
        for (const int value : values) {
            axis.settings.push_back({{name, value}});
        }
        return axis;
    };
    // Register tiles of tile_rows x panel_vectors sums, which leave registers for the right panel.
    Axis tile = one("tile_rows", lanes == 16 ? std::vector<int>{8, 10, 14, 6} : std::vector<int>{4, 5});
    if (lanes == 16) {
        tile.settings.push_back({{"tile_rows", 8}, {"panel_vectors", 3}});
        tile.settings.push_back({{"tile_rows", 9}, {"panel_vectors", 3}});
        tile.settings.push_back({{"tile_rows", 6}, {"panel_vectors", 4}});
    } else {
        tile.settings.push_back({{"tile_rows", 4}, {"panel_vectors", 3}});
    }
    std::vector<Axis> axes = {tile,
                              one("block_rows",
                                  lanes == 16 ? std::vector<int>{6, 8, 16, 24, 4} : std::vector<int>{12, 16, 36, 48}),
                              one("depth", {128, 192, 384, 512, 1024}),
                              one("unrolled_steps", lanes == 4 ? std::vector<int>{2} : std::vector<int>{2, 8})};
    axes.push_back(one("key_value_group", {1, 2, 8, 16}));
    axes.push_back(one("jobs", {4, 8, 32, 64}));
    if (layer.has_bias()) {  // whose targets have no sums
        axes.push_back(one("target_group", {4, 8, 32}));
    }
    return axes;
}

int vector_lanes(const std::string &target) {
    const auto has = [&](const char *word) { return target.find(word) != std::string::npos; };
    return has("-avx512") ? 16 : has("-avx") ? 8 : 4;
}

Candidate random_adams2019(int number, int threads) {
    // How many jobs the autoscheduler aims at. Its default is 16; with fewer, stages are fused more, and a layer whose
    // stages are small may take half the time.
    std::array<int, 4> parallelisms = {2, 4, 8, 16};
    const auto distance = [&](int parallelism) { return std::abs(std::log2(1.0 * parallelism / threads)); };
    std::stable_sort(parallelisms.begin(), parallelisms.end(), [&](int a, int b) { return distance(a) < distance(b); });
    const int index = number - 1, count = static_cast<int>(parallelisms.size());
    return {"Adams2019",
            {{"autoscheduler.beam_size", 1},
             {"autoscheduler.parallelism", parallelisms[index % count]},
             {"autoscheduler.random_dropout", 1},
             {"autoscheduler.random_dropout_seed", 1 + index / count}}};
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
