#include "profile.h"

#include "bench/text_file.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace aft::tune {

namespace {

using Json = nlohmann::ordered_json;

// Five digits: more would say what the measurement doesn't.
double rounded(double value) {
    return std::stod(fmt::format("{:.5g}", value));
}

Json to_json(const ProfileEntry &entry) {
    const LayerConfig &config = entry.problem.config;
    Json row = {{"layer", name(config.form)},
                {"shape",
                 {{"batch", entry.problem.shape.batch},
                  {"seq", entry.problem.shape.seq},
                  {"hidden", config.hidden},
                  {"projected", config.projected},
                  {"window", config.window}}},
                {"threads", entry.threads},
                {"kernel", entry.tuned ? "tuned" : "packed"}};
    if (entry.tuned) {
        if (!entry.tuned->autoscheduler.empty()) {
            row["autoscheduler"] = entry.tuned->autoscheduler;
        }
        row["params"] = entry.tuned->params;
    }
    row["packed_ms"] = rounded(entry.packed_ms);
    if (entry.tuned) {
        row["tuned_ms"] = rounded(entry.tuned_ms);
        row["ratio"] = rounded(entry.ratio);
        row["interval"] = {rounded(entry.interval.low), rounded(entry.interval.high)};
        row["confidence"] = 1 - error_rate;
    }
    row["trials"] = entry.trials;
    row["date"] = entry.date;
    row["halide"] = entry.halide;
    row["target"] = entry.target;
    return row;
}

ProfileEntry from_json(const Json &row) {
    ProfileEntry entry;
    LayerConfig &config = entry.problem.config;
    const Json &shape = row.at("shape");
    config.form = layer_form(row.at("layer").get<std::string>());
    config.hidden = shape.at("hidden");
    config.projected = shape.at("projected");
    config.window = shape.at("window");
    entry.problem.shape = {shape.at("batch"), shape.at("seq")};
    config.max_seq_len = entry.problem.shape.seq;
    entry.threads = row.at("threads");
    if (row.at("kernel") == "tuned") {
        entry.tuned = {row.value("autoscheduler", ""), row.at("params")};
        entry.tuned_ms = row.at("tuned_ms");
        entry.ratio = row.at("ratio");
        entry.interval = {row.at("interval").at(0), row.at("interval").at(1)};
    }
    entry.packed_ms = row.at("packed_ms");
    entry.trials = row.at("trials");
    entry.date = row.at("date");
    entry.halide = row.at("halide");
    entry.target = row.at("target");
    return entry;
}

bool same_problem(const Problem &a, const Problem &b) {
    return a.config.form == b.config.form && a.config.hidden == b.config.hidden &&
           a.config.projected == b.config.projected && a.config.window == b.config.window &&
           a.shape.batch == b.shape.batch && a.shape.seq == b.shape.seq;
}

}  // namespace

std::string isa_of(const std::string &target) {
    const auto has = [&](const char *word) { return target.find(word) != std::string::npos; };
    return has("-avx512") ? "avx512" : has("-avx2") ? "avx2" : has("-avx") ? "avx" : has("arm") ? "neon" : "sse";
}

std::string slug(const std::string &cpu, const std::string &isa) {
    std::string text = cpu.substr(0, cpu.find(" @"));  // Intel's names end in the clock
    for (const char *noise : {"(R)", "(TM)", "(tm)", " CPU", " Processor"}) {
        for (std::size_t at; (at = text.find(noise)) != std::string::npos;) {
            text.erase(at, std::string(noise).size());
        }
    }
    std::string result;
    for (const char c : text + " " + isa) {
        if (std::isalnum(static_cast<unsigned char>(c))) {
            result += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        } else if (!result.empty() && result.back() != '-') {
            result += '-';
        }
    }
    return result;
}

Profile read_profile(const std::filesystem::path &file, const std::string &cpu, const std::string &isa) {
    Profile profile{cpu, isa, {}};
    if (!std::filesystem::exists(file)) {
        return profile;
    }
    try {
        std::ifstream stream(file);
        if (!stream) {
            throw ProfileError(fmt::format("{} can't be read: {}", file.string(), std::strerror(errno)));
        }
        const Json json = Json::parse(stream);
        for (const auto &[field, here] : {std::pair{"cpu", cpu}, std::pair{"isa", isa}}) {
            if (json.at(field) != here) {
                throw ProfileError(fmt::format("{} is of {} {}, this is {}", file.string(), field,
                                               json.at(field).get<std::string>(), here));
            }
        }
        for (const Json &row : json.at("results")) {
            profile.entries.push_back(from_json(row));
        }
    } catch (const ProfileError &) {
        throw;
    } catch (const std::exception &error) {  // of the parser, or an unknown layer
        throw ProfileError(fmt::format("{} isn't a profile: {}", file.string(), error.what()));
    }
    return profile;
}

void merge(Profile &profile, const ProfileEntry &entry) {
    const auto same = std::find_if(profile.entries.begin(), profile.entries.end(), [&](const ProfileEntry &other) {
        return same_problem(other.problem, entry.problem);
    });
    if (same != profile.entries.end()) {
        *same = entry;
    } else {
        profile.entries.push_back(entry);
    }
}

void write_profile(const std::filesystem::path &file, const Profile &profile) {
    auto rows = Json::array();
    for (const ProfileEntry &entry : profile.entries) {
        rows.push_back(to_json(entry));
    }
    if (file.has_parent_path()) {
        std::filesystem::create_directories(file.parent_path());
    }
    // The names that a CPU gives itself may be no UTF-8.
    const std::string text =
        Json{{"cpu", profile.cpu}, {"isa", profile.isa}, {"results", rows}}.dump(2, ' ', false,
                                                                                 Json::error_handler_t::replace);
    bench::write_text(file, text + "\n");
}

}  // namespace aft::tune
