#include "commands.h"
#include "missing_kernels.h"
#include "streams.h"

#include "runtime/kernels/loaded_kernels.h"
#include "runtime/kernels/selector.h"

#include <aft/aft.h>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace aft::cli {

namespace {

// The ranges of lengths that a kernel is preferred for.
std::vector<PreferredExtents::Range> lengths_of(const KernelInfo &kernel) {
    std::vector<PreferredExtents::Range> ranges;
    for (const Kernel &each : kernels_of(kernel.api)) {
        if (each.info.id == kernel.id) {
            ranges.push_back(each.info.preferred.seq);
        }
    }
    return ranges;
}

// The extents that a kernel takes or is made for; "any" when it takes all. Wisdom may have the lengths.
std::string shapes(const KernelInfo &kernel, const LoadedWisdom &wisdom) {
    const MinimumExtents &minimum = kernel.minimum;
    const PreferredExtents &preferred = kernel.preferred;
    std::string text;
    const auto append = [&text](const char *extent, std::int64_t value, std::int64_t any) {
        if (value > any) {
            text += fmt::format("{}{}>={}", text.empty() ? "" : " ", extent, value);
        }
    };
    const auto append_range = [&text](const char *extent, const PreferredExtents::Range &range) {
        if (range.to < range.from) {
            text += fmt::format("{}for no {}", text.empty() ? "" : ", ", extent);
        } else if (range.to != PreferredExtents::Range().to) {
            text += fmt::format("{}for {}={}..{}", text.empty() ? "" : ", ", extent, range.from, range.to);
        }
    };
    append("B", minimum.batch, 1);
    append("T", minimum.seq, 1);
    append("H", minimum.hidden, 1);
    append("P", minimum.projected, 1);
    append("s", minimum.window, 0);
    for (const PreferredExtents::Range &seq : lengths_of(kernel)) {
        append_range("T", seq);
    }
    append_range("H", preferred.hidden);
    append_range("P", preferred.projected);
    append_range("s", preferred.window);
    return (text.empty() ? "any" : text) + (wisdom.preference_for(kernel.id) ? " by wisdom" : "");
}

// The operation, layer and storage whose lengths an entry of wisdom gives.
std::string subject(const LoadedPreference &preference) {
    return preference.operation + (preference.layer == "none" ? "" : " " + preference.layer) + " in " +
           preference.storage;
}

std::string usable_here(const KernelInfo &kernel) {
    const Judgement judgement = judge(kernel);
    switch (judgement.fit) {
        case Fit::automatic: return "yes";
        case Fit::by_id: return "only with --storage or --kernel: " + judgement.reason;
        case Fit::none: return "no: " + judgement.reason;
    }
    return "";
}

std::string kernels_as_table() {
    std::size_t width = 0;
    for (const KernelInfo &kernel : kernels()) {
        width = std::max(width, kernel.id.size());
    }
    const LoadedWisdom wisdom = loaded_wisdom();
    std::string text =
        fmt::format("{:<{}}  {:<6}  {:<8}  {:<34}  {}\n", "kernel", width, "device", "biases", "shapes", "usable here");
    for (const KernelInfo &kernel : kernels()) {
        text += fmt::format("{:<{}}  {:<6}  {:<8}  {:<34}  {}\n", kernel.id, width, kernel.api,
                            kernel.any_bias_range ? "any" : fmt::format("<= {:g}", max_bias_range),
                            shapes(kernel, wisdom), usable_here(kernel));
    }
    for (const LoadedPreference *each : wisdom.preferences) {
        if (!each->reason.empty()) {
            text += fmt::format("lengths of {} in {} aren't used: {}\n", subject(*each), each->file, each->reason);
        }
    }
    return text;
}

// Reasons and names come from drivers, whose bytes may be no UTF-8.
std::string text_of(const nlohmann::ordered_json &json) {
    return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string kernels_as_json() {
    const LoadedWisdom wisdom = loaded_wisdom();
    auto preferences = nlohmann::ordered_json::array();
    for (const LoadedPreference *each : wisdom.preferences) {
        preferences.push_back({{"operation", each->operation},
                               {"layer", each->layer == "none" ? nullptr : nlohmann::ordered_json(each->layer)},
                               {"storage", each->storage},
                               {"file", each->file},
                               {"usable", each->reason.empty()},
                               {"reason", each->reason}});
    }
    auto rows = nlohmann::ordered_json::array();
    for (const KernelInfo &kernel : kernels()) {
        const MinimumExtents &minimum = kernel.minimum;
        const PreferredExtents &preferred = kernel.preferred;
        // [from, to]; to is null where there is no end.
        const auto range = [](const PreferredExtents::Range &range) {
            auto ends = nlohmann::ordered_json::array({range.from, nullptr});
            if (range.to != PreferredExtents::Range().to) {
                ends[1] = range.to;
            }
            return ends;
        };
        const LoadedPreference *const preference = wisdom.preference_for(kernel.id);
        auto lengths = nlohmann::ordered_json::array();
        for (const PreferredExtents::Range &seq : lengths_of(kernel)) {
            lengths.push_back(range(seq));
        }
        rows.push_back({{"kernel", kernel.id},
                        {"layer", kernel.layer ? nlohmann::ordered_json(name(*kernel.layer)) : nullptr},
                        {"device", kernel.api},
                        {"operation", kernel.operation},
                        {"algorithm", kernel.algorithm},
                        {"schedule", kernel.schedule},
                        {"target", kernel.target},
                        {"storage", kernel.storage},
                        {"any_bias_range", kernel.any_bias_range},
                        {"minimum",
                         {{"batch", minimum.batch},
                          {"seq", minimum.seq},
                          {"hidden", minimum.hidden},
                          {"projected", minimum.projected},
                          {"window", minimum.window}}},
                        {"preferred",
                         {{"seq", range(preferred.seq)},
                          {"hidden", range(preferred.hidden)},
                          {"projected", range(preferred.projected)},
                          {"window", range(preferred.window)}}},
                        {"lengths", lengths},
                        {"lengths_from", preference ? preference->file : "table"},
                        {"usable", kernel.usable},
                        {"reason", kernel.reason}});
    }
    return text_of({{"aft", AFT_VERSION}, {"halide", AFT_HALIDE_VERSION}, {"kernels", rows}, {"lengths", preferences}});
}

std::string missing_as_table() {
    std::string text = fmt::format("{:<9}  {:<12}  {:<11}  {:<13}  {:<6}  {}\n", "operation", "layer", "algorithm",
                                   "schedule", "device", "not in this build because");
    for (const MissingKernel &kernel : missing_kernels()) {
        text += fmt::format("{:<9}  {:<12}  {:<11}  {:<13}  {:<6}  {}\n", kernel.operation, kernel.layer,
                            kernel.algorithm, kernel.schedule, kernel.device, kernel.reason);
    }
    return text;
}

std::string missing_as_json() {
    auto rows = nlohmann::ordered_json::array();
    for (const MissingKernel &kernel : missing_kernels()) {
        rows.push_back({{"operation", kernel.operation},
                        {"layer", kernel.layer},
                        {"algorithm", kernel.algorithm},
                        {"schedule", kernel.schedule},
                        {"device", kernel.device},
                        {"reason", kernel.reason}});
    }
    return text_of({{"aft", AFT_VERSION}, {"missing", rows}});
}

std::string devices_as_table() {
    std::size_t width = 4;
    for (const Device &device : devices()) {
        width = std::max(width, device.name.size());
    }
    std::string text = fmt::format("{:<8}  {:<{}}  {:>10}  {}\n", "device", "name", width, "memory", "usable here");
    for (const Device &device : devices()) {
        const std::string memory =
            device.memory > 0 ? fmt::format("{:.1f} GiB", static_cast<double>(device.memory) / (1 << 30)) : "";
        text += fmt::format("{:<8}  {:<{}}  {:>10}  {}\n", device.id, device.name, width, memory,
                            !device.usable         ? "no: " + device.reason
                            : is_automatic(device) ? "yes"
                                                   : "only if chosen: runs on the CPU");
    }
    return text;
}

std::string devices_as_json() {
    auto rows = nlohmann::ordered_json::array();
    for (const Device &device : devices()) {
        rows.push_back({{"device", device.id},
                        {"api", device.api},
                        {"name", device.name},
                        {"memory", device.memory},
                        {"is_gpu", device.is_gpu},
                        {"usable", device.usable},
                        {"reason", device.reason}});
    }
    return text_of({{"devices", rows}});
}

/// The text that a list of the command has in one of two formats.
using Listing = std::string (*)();

/// Adds --format. The command prints the list that `chosen` gives, when it runs.
void add_list(CLI::App &command, const std::function<std::pair<Listing, Listing>()> &chosen) {
    command.footer("\nExample:\n  aft " + command.get_name() + " --format json");
    const auto format = std::make_shared<std::string>("table");
    command.add_option("--format", *format, "table or json")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
    command.final_callback([format, chosen] {
        const auto [as_table, as_json] = chosen();
        print(*format == "json" ? as_json() : as_table());
    });
}

}  // namespace

void add_kernels(CLI::App &app) {
    CLI::App *command = app.add_subcommand("kernels", "List every kernel of this build");
    const auto missing = std::make_shared<bool>(false);
    command->add_flag("--missing", *missing, "list the kernels that this build doesn't have, and why");
    add_list(*command, [missing] {
        return *missing ? std::pair<Listing, Listing>(missing_as_table, missing_as_json)
                        : std::pair<Listing, Listing>(kernels_as_table, kernels_as_json);
    });
}

void add_devices(CLI::App &app) {
    add_list(*app.add_subcommand("devices", "List the devices that kernels of this build can run on"),
             [] { return std::pair<Listing, Listing>(devices_as_table, devices_as_json); });
}

}  // namespace aft::cli
