#pragma once

#include "command_line.h"
#include "golden.h"

#include "tune/kernel_builder.h"
#include "tune/tune.h"
#include "tune/wisdom.h"

#include <aft/device.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

namespace aft {

/// A shape of tests/data, with the sequence that its file has.
inline Problem tuned_problem() {
    const Golden golden = golden_named("aftp_full_k40");
    return {config_of(golden), shape_of(golden)};
}

/// Wisdom as `aft tune` writes it, for one kernel. The kernel is a slow one, so that no search would find it.
class TunedKernel {
public:
    explicit TunedKernel(const Problem &problem = tuned_problem()) {
        static std::map<std::int64_t, Folder> by_hidden;  // a kernel is built once
        const Folder &first = by_hidden[problem.config.hidden];
        if (first.empty()) {
            const tune::Candidate candidate{"", {{"depth", 8}, {"tile_rows", 3}}};
            tune::SearchResult result;
            result.problem = problem;
            result.algorithm = tune::packed_row(problem).algorithm;
            result.threads = 1;
            result.tuned = candidate;
            result.target = tune::target_of(tune::packed_row(problem));
            result.library = tune::KernelBuilder(tune::toolchain_of_build(result.target), first / "cache")
                                 .build(candidate, problem)
                                 ->library;
            const std::string cpu = device_name();
            tune::WisdomFile(first / "w.json", cpu, tune::isa_of(result.target)).add(result);
            std::filesystem::remove_all(first / "cache");
        }
        for (const std::filesystem::directory_entry &each : std::filesystem::directory_iterator(first.path())) {
            std::filesystem::copy(each.path(), folder.path());
        }
    }

    static std::string device_name() {
        const auto cpu =
            std::find_if(devices().begin(), devices().end(), [](const Device &device) { return device.api == "cpu"; });
        return cpu->name;
    }
    nlohmann::json json() const {
        return nlohmann::json::parse(content(file));
    }
    /// Changes the value at a JSON pointer.
    void set(const std::string &pointer, const nlohmann::json &value) const {
        nlohmann::json changed = json();
        changed[nlohmann::json::json_pointer(pointer)] = value;
        std::ofstream(file) << changed;
    }
    std::string library() const {
        return folder / json()["results"][0]["library"]["file"].get<std::string>();
    }

    Folder folder;
    const std::string file = folder / "w.json";
};

}  // namespace aft
