#include "wisdom.h"

#include "shape.h"

#include "files/hash.h"
#include "files/trust.h"
#include "halide/kernel_host.h"
#include "kernels/wisdom.h"

#include "bench/text_file.h"

#include <aft/error.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace aft::tune {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::size_t digits_of_name = 16;  // of the SHA-256, in the name of a shared object

// Five digits: more would say what the measurement doesn't.
double rounded(double value) {
    return std::stod(fmt::format("{:.5g}", value));
}

std::string bytes_of(const fs::path &path) {
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (!file) {
        throw std::runtime_error(fmt::format("cannot read {}: {}", path.string(), std::strerror(errno)));
    }
    return text;
}

// Whatever the umask is: nobody else may write what programs load.
void keep_to_this_user(const fs::path &path) {
    fs::permissions(path, fs::perms::group_write | fs::perms::others_write, fs::perm_options::remove);
}

void write(const fs::path &path, const std::string &text) {
    bench::write_text(path, text);
    keep_to_this_user(path);
}

// The fields: docs/tuning.md.
Json to_json(const SearchResult &result, const Json &library) {
    const LayerConfig &config = result.problem.config;
    Json row = {{"layer", name(config.form)},
                {"algorithm", result.algorithm},
                {"shape", shape_of(result.problem)},
                {"threads", result.threads},
                {"kernel", result.tuned ? "tuned" : "packed"}};
    if (result.tuned) {
        if (!result.tuned->autoscheduler.empty()) {
            row["autoscheduler"] = result.tuned->autoscheduler;
        }
        row["params"] = result.tuned->params;
        row["library"] = library;
    }
    row["packed_ms"] = rounded(result.packed_ms);
    if (result.tuned) {
        row["tuned_ms"] = rounded(result.tuned_ms);
        row["ratio"] = rounded(result.ratio);
        row["interval"] = {rounded(result.interval.low), rounded(result.interval.high)};
        row["confidence"] = 1 - error_rate;
    }
    row["trials"] = result.trials;
    row["date"] = result.date;
    row["halide"] = result.halide;
    row["target"] = result.target;
    return row;
}

Json to_json(const LengthResult &result) {
    const KernelInfo &first = result.family.kernels.front()->info;
    Json kernels = Json::array(), lengths = Json::array();
    for (const Kernel *kernel : result.family.kernels) {
        kernels.push_back(kernel->info.id);
    }
    for (const Choice &choice : result.choices) {
        lengths.push_back({{"from", choice.from}, {"kernel", kernels[choice.kernel]}});
    }
    return {{"operation", first.operation}, {"layer", first.layer ? name(*first.layer) : "none"},
            {"storage", first.storage},     {"kernels", kernels},
            {"lengths", lengths},           {"threads", result.threads},
            {"date", result.date},          {"halide", result.halide},
            {"target", first.target}};
}

// A file in the newest version, or an empty one. The names that a CPU gives itself may be no UTF-8.
Json content_of(const fs::path &file, const std::string &cpu, const std::string &isa) {
    if (!fs::exists(file)) {
        return {{"version", wisdom_version},
                {"cpu", cpu},
                {"isa", isa},
                {"results", Json::array()},
                {"preferences", Json::array()}};
    }
    Json json = Json::parse(bytes_of(file));
    if (json.value("version", 1) == 1) {
        json["version"] = wisdom_version;
        json["preferences"] = Json::array();
    }
    return json;
}

void put(const fs::path &file, const Json &json) {
    write(file, json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

bool is_for(const Wisdom::Result &old, const Problem &problem) {
    return old.config.form == problem.config.form && old.config.hidden == problem.config.hidden &&
           old.config.projected == problem.config.projected && old.config.window == problem.config.window &&
           old.shape.batch == problem.shape.batch && old.shape.seq == problem.shape.seq;
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

WisdomFile::WisdomFile(const fs::path &file, const std::string &cpu, const std::string &isa)
    : file_(file), cpu_(cpu), isa_(isa) {
    const fs::path folder = fs::absolute(file).parent_path();
    if (fs::create_directories(folder)) {
        keep_to_this_user(folder);
    }
    if (const std::string reason = why_not_trusted(fs::canonical(folder).string()); !reason.empty()) {
        throw ConfigError(fmt::format("{}: programs wouldn't load kernels from there: it {}", folder.string(), reason));
    }
    if (!fs::exists(file)) {
        return;
    }
    const Wisdom wisdom = read_wisdom(file.string());
    for (const auto &[field, there, here] : {std::tuple{"cpu", wisdom.cpu, cpu}, std::tuple{"isa", wisdom.isa, isa}}) {
        if (there != here) {
            throw ConfigError(fmt::format("{} is of {} {}, this is {}", file.string(), field, there, here));
        }
    }
}

void WisdomFile::add(const SearchResult &result) const {
    Json json = content_of(file_, cpu_, isa_);
    const std::vector<Wisdom::Result> old =
        fs::exists(file_) ? read_wisdom(file_.string()).results : std::vector<Wisdom::Result>();
    Json library;
    if (result.tuned) {
        const std::string code = bytes_of(result.library), digits = sha256(code);
        const std::string name = fmt::format("{}-{}.so", file_.stem().string(), digits.substr(0, digits_of_name));
        write(file_.parent_path() / name, code);
        library = {{"file", name}, {"sha256", digits}, {"abi", kernel_abi}};
    }
    const auto same =
        std::find_if(old.begin(), old.end(), [&](const Wisdom::Result &each) { return is_for(each, result.problem); });
    const Json row = to_json(result, library);
    if (same == old.end()) {
        json["results"].push_back(row);
    } else {
        json["results"][same - old.begin()] = row;
    }
    put(file_, json);
    if (same != old.end() && same->library && same->library->file != library.value("file", "")) {
        std::error_code ignored;  // a file that is left over harms nobody
        fs::remove(file_.parent_path() / same->library->file, ignored);
    }
}

void WisdomFile::add(const LengthResult &result) const {
    Json json = content_of(file_, cpu_, isa_);
    const Json row = to_json(result);
    const auto is_same = [&](const Json &old) {
        return old["operation"] == row["operation"] && old["layer"] == row["layer"] && old["storage"] == row["storage"];
    };
    Json &rows = json["preferences"];
    if (const auto same = std::find_if(rows.begin(), rows.end(), is_same); same == rows.end()) {
        rows.push_back(row);
    } else {
        *same = row;
    }
    put(file_, json);
}

}  // namespace aft::tune
