#include "kernels/loaded_kernels.h"

#include "devices/driver.h"
#include "files/hash.h"
#include "files/input_file.h"
#include "files/trust.h"
#include "halide/halide.h"
#include "halide/kernel_host.h"
#include "kernels/device.h"
#include "kernels/kernel_library.h"
#include "kernels/wisdom.h"

#include <aft/error.h>
#include <aft/kernels.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <mutex>
#include <utility>

namespace aft {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t digits_of_id = 8;  // of the SHA-256: the same id means the same code

using Kernels = std::vector<std::unique_ptr<const LoadedKernel>>;
using Preferences = std::vector<std::unique_ptr<const LoadedPreference>>;

/// All that was loaded, in order of preference.
struct Loaded {
    std::mutex mutex;
    Kernels kernels;
    Preferences preferences;
    bool has_read_environment = false;
};

/// All of one file.
struct Content {
    Kernels kernels;
    Preferences preferences;
};

Loaded &loaded() {
    static Loaded all;
    return all;
}

std::string id_of(const Wisdom::Result &result) {
    const LayerConfig &config = result.config;
    std::string id = "wisdom_" + std::string(name(config.form)) + "_cpu_tuned_b" + std::to_string(result.shape.batch) +
                     "_t" + std::to_string(result.shape.seq) + "_h" + std::to_string(config.hidden) + "_p" +
                     std::to_string(config.projected);
    if (config.form.has_window()) {
        id += "_s" + std::to_string(config.window);
    }
    return id + "_" + result.library->sha256.substr(0, digits_of_id);
}

/// The extents that a tuned kernel is preferred for; generators/table/wisdom.cmake has the same for kernels of a build.
PreferredExtents preferred_extents(const Wisdom::Result &result) {
    const LayerConfig &config = result.config;
    PreferredExtents preferred;
    preferred.seq = {(result.shape.seq + 1) / 2, 2 * result.shape.seq};
    preferred.hidden = {config.hidden, config.hidden};
    preferred.projected = {config.projected, config.projected};
    if (config.form.has_window()) {
        preferred.window = {config.window, config.window};
    }
    return preferred;
}

/// Why a kernel isn't for this program or this machine; empty when it is.
std::string why_not(const std::string &cpu, const Wisdom::Result &result) {
    if (const std::string reason = why_no_libraries(); !reason.empty()) {
        return reason;
    }
    if (!has_sha256()) {
        return "this build can't check the SHA-256 of kernels: it was made without libmd";
    }
    const int abi = result.library->abi;
    if (abi != kernel_abi) {
        return "has kernel ABI " + std::to_string(abi) + ", this library has " + std::to_string(kernel_abi) +
               ": tune again";
    }
    const std::vector<DriverDevice> &cpus = devices_of("cpu");
    if (cpus.empty()) {
        return "this build has no kernels for cpu";
    }
    if (cpus.front().info.name != cpu) {
        return "was tuned on " + cpu + ", this is " + cpus.front().info.name;
    }
    return obstacle(cpus.front(), result.target);
}

void check_trusted(const fs::path &path) {
    if (const std::string reason = why_not_trusted(path.string()); !reason.empty()) {
        throw ConfigError(path.string() + " " + reason);
    }
}

/// The content is what `aft tune` wrote; only this user or root could have put something else there.
void check_library(const fs::path &path, const Wisdom::Library &library) {
    check_trusted(path);
    const InputFile file(path.string());
    const std::string found = sha256(file.text(0, file.bytes()));
    if (found != library.sha256) {
        throw ConfigError(path.string() + " has SHA-256 " + found + ", must have " + library.sha256);
    }
}

std::unique_ptr<LoadedKernel> described(const Wisdom::Result &result) {
    auto kernel = std::make_unique<LoadedKernel>();
    kernel->id = id_of(result);
    kernel->algorithm = result.algorithm;
    kernel->layout = kernel->id;  // its own copy of the weights: only the generators know which layouts are the same
    KernelRow &row = kernel->row;
    row.id = kernel->id.c_str();
    row.operation = "forward";
    row.layer = result.config.form;
    row.algorithm = kernel->algorithm.c_str();
    row.schedule = "tuned";
    row.storage = "float32";
    row.api = "cpu";
    row.any_bias_range = false;
    row.preferred = preferred_extents(result);
    row.prepare = row.call = {nullptr, nullptr};
    return kernel;
}

void load(LoadedKernel &kernel, const fs::path &path, const std::string &target) {
    KernelLibrary library;
    try {
        library = load_kernel_library(path.string());
    } catch (const ConfigError &error) {
        throw ConfigError(path.string() + " " + error.what());
    }
    if (const char *const made_for = library.call.metadata()->target; made_for != target) {
        throw ConfigError(path.string() + " is for target " + made_for + ", must be for " + target);
    }
    kernel.row.prepare = library.prepare;
    kernel.row.call = library.call;
    kernel.info = kernel_info(kernel.row);
}

/// The kernels of a file. All of them are checked before the first one is loaded.
Kernels kernels_of_file(const Wisdom &wisdom, const fs::path &folder) {
    Kernels kernels;
    std::vector<std::pair<LoadedKernel *, const Wisdom::Result *>> usable;
    for (const Wisdom::Result &result : wisdom.results) {
        if (!result.library) {
            continue;
        }
        std::unique_ptr<LoadedKernel> kernel = described(result);
        const std::string reason = why_not(wisdom.cpu, result);
        if (reason.empty()) {
            check_library(folder / result.library->file, *result.library);
            usable.emplace_back(kernel.get(), &result);
        } else {
            kernel->info = kernel_info(kernel->row, result.target, reason);
        }
        kernels.push_back(std::move(kernel));
    }
    for (const auto &[kernel, result] : usable) {
        load(*kernel, folder / result->library->file, result->target);
    }
    return kernels;
}

Content content_of(const std::string &given) {
    std::error_code error;
    const fs::path file = fs::canonical(given, error);
    if (error) {
        throw ConfigError("wisdom " + given + ": can't be opened: " + error.message());
    }
    check_trusted(file.parent_path());
    check_trusted(file);
    const Wisdom wisdom = read_wisdom(file.string());
    Content content;
    content.kernels = kernels_of_file(wisdom, file.parent_path());
    for (const Wisdom::Preference &each : wisdom.preferences) {
        const std::vector<DriverDevice> &cpus = devices_of("cpu");
        const std::string this_cpu = cpus.empty() ? "a build without kernels for cpu" : cpus.front().info.name;
        content.preferences.push_back(
            std::make_unique<const LoadedPreference>(loaded_preference(each, file.string(), wisdom.cpu, this_cpu)));
    }
    return content;
}

/// Puts what isn't there yet before `place`.
template<typename All, typename IsSame>
void add(All &all, All some, std::size_t place, const IsSame &is_same) {
    const auto is_known = [&](const auto &each) {
        return std::any_of(all.begin(), all.end(), [&](const auto &known) { return is_same(*known, *each); });
    };
    some.erase(std::remove_if(some.begin(), some.end(), is_known), some.end());
    all.insert(all.begin() + static_cast<std::ptrdiff_t>(place), std::make_move_iterator(some.begin()),
               std::make_move_iterator(some.end()));
}

/// A later file comes before the others, that of the environment behind them.
void add(Loaded &all, Content content, bool is_last) {
    add(all.kernels, std::move(content.kernels), is_last ? all.kernels.size() : 0,
        [](const LoadedKernel &a, const LoadedKernel &b) { return a.id == b.id; });
    add(all.preferences, std::move(content.preferences), is_last ? all.preferences.size() : 0,
        [](const LoadedPreference &a, const LoadedPreference &b) { return a == b; });
}

}  // namespace

const LoadedPreference *LoadedWisdom::preference_for(std::string_view kernel) const {
    const auto found = std::find_if(preferences.begin(), preferences.end(), [&](const LoadedPreference *each) {
        return each->reason.empty() && each->of(kernel);
    });
    return found == preferences.end() ? nullptr : *found;
}

LoadedWisdom loaded_wisdom() {
    Loaded &all = loaded();
    const std::lock_guard lock(all.mutex);
    if (!all.has_read_environment) {
        if (const char *const path = std::getenv("AFT_WISDOM"); path && *path) {
            try {
                add(all, content_of(path), true);
            } catch (const Error &error) {
                throw ConfigError(std::string(error.what()) + " (from AFT_WISDOM)");
            }
        }
        all.has_read_environment = true;
    }
    LoadedWisdom result;
    for (const auto &kernel : all.kernels) {
        result.kernels.push_back(kernel.get());
    }
    for (const auto &preference : all.preferences) {
        result.preferences.push_back(preference.get());
    }
    return result;
}

void load_kernels(const std::string &path) {
    Loaded &all = loaded();
    const std::lock_guard lock(all.mutex);
    add(all, content_of(path), false);
}

}  // namespace aft
