#include "kernels/selector.h"

#include <aft/error.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iterator>
#include <sstream>
#include <utility>

namespace aft {
namespace {

using Range = PreferredExtents::Range;

bool contains(const Range &range, std::int64_t value) {
    return range.from <= value && value <= range.to;
}

/// Whether a kernel computes a form. One without a form serves all.
bool serves(const std::optional<LayerForm> &layer, const LayerForm &form) {
    return !layer || *layer == form;
}

/// "24", "17 to 66" or "at least 17".
std::string text_of(const Range &range) {
    const std::string from = std::to_string(range.from);
    return range.from == range.to   ? from
           : range.to == Range().to ? "at least " + from
                                    : from + " to " + std::to_string(range.to);
}

std::string text_of(float value) {
    std::ostringstream text;
    text << value;
    return text.str();
}

struct Extent {
    const char *name;
    std::int64_t value, minimum;
    Range preferred;
};

/// The first extent that is below the kernel's minimum, "takes seq >= 64, not 3"; empty without one.
template<typename Extents>
std::string below_minimum(const Extents &extents) {
    for (const Extent &extent : extents) {
        if (extent.value < extent.minimum) {
            return std::string("takes ") + extent.name + " >= " + std::to_string(extent.minimum) + ", not " +
                   std::to_string(extent.value);
        }
    }
    return "";
}

std::array<Extent, 2> extents_of(const KernelInfo &kernel, const Shape &shape) {
    return {Extent{"batch", shape.batch, kernel.minimum.batch, {}},
            Extent{"seq", shape.seq, kernel.minimum.seq, kernel.preferred.seq}};
}

std::vector<Extent> extents_of(const KernelInfo &kernel, const LayerConfig &config, const std::optional<Shape> &shape) {
    const MinimumExtents &minimum = kernel.minimum;
    const PreferredExtents &preferred = kernel.preferred;
    std::vector<Extent> extents = {{"hidden", config.hidden, minimum.hidden, preferred.hidden},
                                   {"projected", config.projected, minimum.projected, preferred.projected},
                                   {"max_seq_len", config.max_seq_len, minimum.seq, {preferred.seq.from, Range().to}}};
    if (config.form.has_window()) {
        extents.push_back({"window", config.window, minimum.window, preferred.window});
    }
    if (shape) {
        const auto of_shape = extents_of(kernel, *shape);
        extents.insert(extents.end(), of_shape.begin(), of_shape.end());
    }
    return extents;
}

/// A kernel or a device that must be taken.
struct Wish {
    std::string name;  // empty: any
    std::string origin;

    Wish(const std::string &option, const char *variable) : name(option) {
        const char *value = std::getenv(variable);
        if (option.empty() && value && *value) {
            name = value;
            origin = std::string(" (from ") + variable + ")";
        }
    }
};

const Kernel &kernel_of(const KernelRow &row) {
    const std::vector<Kernel> &kernels = kernels_of(row.api);
    return *std::find_if(kernels.begin(), kernels.end(), [&](const Kernel &kernel) { return &kernel.row == &row; });
}

const Wish kernel_wish(const LayerOptions &options) {
    return {options.kernel, "AFT_KERNEL"};
}

Wish storage_wish(const LayerOptions &options) {
    return {options.storage, "AFT_STORAGE"};
}

std::string storage_of(const LayerOptions &options) {
    const Wish wish = storage_wish(options);
    if (wish.name.empty()) {
        return "float32";
    }
    if (wish.name != "float32" && wish.name != "bfloat16" && wish.name != "int8") {
        throw ConfigError("storage '" + wish.name + "'" + wish.origin + " must be float32, bfloat16 or int8");
    }
    return wish.name;
}

const KernelRow *row_named(const Wish &wish) {
    const std::vector<const KernelRow *> rows = all_rows();
    const auto found =
        std::find_if(rows.begin(), rows.end(), [&](const KernelRow *row) { return row->id == wish.name; });
    return found == rows.end() ? nullptr : *found;
}

const Kernel &kernel_named(const Wish &wish, const std::vector<Demand> &demands) {
    if (const KernelRow *row = row_named(wish)) {
        return kernel_of(*row);
    }
    std::string ids;
    for (const KernelRow *row : all_rows()) {
        if (std::any_of(demands.begin(), demands.end(), [&](const Demand &demand) {
                return row->operation == demand.operation && serves(row->layer, demand.config.form);
            })) {
            ids += (ids.empty() ? "" : ", ") + std::string(row->id);
        }
    }
    throw ConfigError("kernel '" + wish.name + "'" + wish.origin + " doesn't exist; must be one of " + ids);
}

/// "; aft_full_cpu_exact takes any" when the bias is beyond the range of the fast kernels and another one takes it.
std::string advice(const Kernel &kernel, const Demand &demand) {
    if (demand.bias.range <= max_bias_range) {
        return "";
    }
    const std::vector<Kernel> &others = kernels_of(kernel.info.api);
    const auto exact = std::find_if(others.begin(), others.end(), [&](const Kernel &other) {
        return other.info.any_bias_range && judge(other.info, demand).fit != Fit::none;
    });
    return exact == others.end() ? "" : "; " + exact->info.id + " takes any";
}

/// The lengths that a kernel serves when the caller names it, or when no other kernel is left.
Range every_length(const KernelInfo &kernel, const LayerConfig &config) {
    return {kernel.minimum.seq, config.max_seq_len};
}

/// Checks that the named kernel serves the demand, and finds its device if `device` is null.
Selection with_kernel(const Wish &wish, const Kernel &kernel, const DriverDevice *device, const Demand &demand) {
    const KernelInfo &info = kernel.info;
    const std::string who = "kernel " + wish.name + wish.origin;
    if (const Judgement judgement = judge(info, demand); judgement.fit == Fit::none) {
        throw ConfigError(who + " " + judgement.reason + advice(kernel, demand));
    }
    if (!device) {
        // There is one, or the kernel wouldn't be usable.
        const std::vector<DriverDevice> &devices = devices_of(info.api);
        device = &*std::find_if(devices.begin(), devices.end(), [&](const DriverDevice &candidate) {
            return obstacle(candidate, info.target, info.storage).empty();
        });
    } else if (device->info.api != info.api) {
        throw ConfigError(who + " is for " + info.api + ", not for device " + device->info.id);
    } else if (const std::string why_not = obstacle(*device, info.target, info.storage); !why_not.empty()) {
        throw ConfigError(who + " can't run on device " + device->info.id + ": " + why_not);
    }
    return {device, demand.storage, {{&kernel, every_length(info, demand.config)}}, {}, true};
}

/// Every kernel after the first one that runs for every shape is passed over, too.
Selection on_device(const DriverDevice &device, const Demand &demand) {
    const std::int64_t longest = demand.config.max_seq_len;
    Selection selection{&device, demand.storage, {}, {}};
    bool is_complete = false;
    for (const Kernel &kernel : kernels_of(device.info.api)) {
        const KernelInfo &info = kernel.info;
        if (info.operation != demand.operation || !serves(info.layer, demand.config.form)) {
            continue;
        }
        // A kernel may be there several times, with other lengths.
        const auto is_same = [&](const auto &each) { return each.kernel->info.id == info.id; };
        const bool is_candidate = std::any_of(selection.candidates.begin(), selection.candidates.end(), is_same);
        if (std::any_of(selection.passed_over.begin(), selection.passed_over.end(), is_same) ||
            (is_complete && is_candidate)) {
            continue;
        }
        if (is_complete) {
            const std::string &before = selection.candidates.back().kernel->info.id;
            selection.passed_over.push_back({&kernel, "comes after " + before + ", which runs for every shape"});
            continue;
        }
        std::string why_not = obstacle(device, info.target, info.storage);
        why_not = why_not.empty() ? judge(info, demand).reason : why_not;
        if (!why_not.empty()) {
            if (!is_candidate) {
                selection.passed_over.push_back({&kernel, why_not});
            }
            continue;
        }
        const Range seq = {std::max(info.minimum.seq, info.preferred.seq.from),
                           std::min(info.preferred.seq.to, longest)};
        selection.candidates.push_back({&kernel, seq});
        is_complete = info.minimum.batch == 1 && contains(seq, 1) && contains(seq, longest);
    }
    if (!selection.candidates.empty()) {
        Candidate &last = selection.candidates.back();
        last.seq = every_length(last.kernel->info, demand.config);
    }
    return selection;
}

/// "; aft_full_cuda_exact has compute capability 7.0, not 8.0" for each kernel that was passed over.
std::string why_none(const Selection &selection, const Demand &demand) {
    std::string reasons;
    for (const PassedOver &each : selection.passed_over) {
        reasons += "; " + each.kernel->info.id + " " + each.reason;
    }
    return reasons.empty() ? "; it has no " + demand.operation + " for " + selection.device->info.api : reasons;
}

std::vector<const DriverDevice *> automatic_devices() {
    std::vector<const DriverDevice *> result;
    std::copy_if(driver_devices().begin(), driver_devices().end(), std::back_inserter(result),
                 [](const DriverDevice *device) { return is_automatic(device->info); });
    return result;
}

}  // namespace

Judgement judge(const KernelInfo &kernel) {
    if (!kernel.usable) {
        return {Fit::none, kernel.reason};
    }
    if (kernel.storage != "float32") {
        return {Fit::by_id, "stores " + kernel.storage};
    }
    return {Fit::automatic, ""};
}

Judgement judge(const KernelInfo &kernel, const Demand &demand, const std::optional<Shape> &shape) {
    const LayerConfig &config = demand.config;
    if (kernel.operation != demand.operation) {
        return {Fit::none, "computes " + kernel.operation + ", not " + demand.operation};
    }
    if (!serves(kernel.layer, config.form)) {
        return {Fit::none,
                "is a kernel of layer " + std::string(name(*kernel.layer)) + ", not " + std::string(name(config.form))};
    }
    Judgement here = judge(kernel);
    if (here.fit == Fit::none) {
        return {Fit::none, "can't run here: " + here.reason};
    }
    const std::vector<Extent> extents = extents_of(kernel, config, shape);
    if (const std::string below = below_minimum(extents); !below.empty()) {
        return {Fit::none, below};
    }
    if (!kernel.any_bias_range && !(demand.bias.range <= max_bias_range)) {
        return {Fit::none, "takes a position bias whose rows have a range of at most " + text_of(max_bias_range) +
                               ", row " + std::to_string(demand.bias.row) + " has " + text_of(demand.bias.range)};
    }
    if (here.fit != Fit::automatic && kernel.storage != demand.storage) {
        return here;
    }
    if (kernel.preferred.seq.to < kernel.preferred.seq.from) {
        return {Fit::by_id, "is the fastest at no length, as wisdom says"};
    }
    for (const Extent &extent : extents) {
        if (!contains(extent.preferred, extent.value)) {
            return {Fit::by_id, std::string("is for ") + extent.name + " " + text_of(extent.preferred) + ", not " +
                                    std::to_string(extent.value)};
        }
    }
    return {Fit::automatic, ""};
}

std::size_t Selection::candidate_for(const Shape &shape) const {
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        if (contains(candidates[i].seq, shape.seq) && shape.batch >= candidates[i].kernel->info.minimum.batch) {
            return i;
        }
    }
    const KernelInfo &last = candidates.back().kernel->info;
    throw ShapeError("kernel " + last.id + " " + below_minimum(extents_of(last, shape)));
}

void refuse_int8(const LayerOptions &options, const char *why) {
    if (const Wish wish = storage_wish(options); wish.name == "int8") {
        throw ConfigError("storage 'int8'" + wish.origin + " " + why);
    }
}

const KernelRow *named_kernel(const LayerOptions &options) {
    return row_named(kernel_wish(options));
}

Selection select_on(const DriverDevice &device, const Demand &demand) {
    Selection selection = on_device(device, demand);
    if (selection.candidates.empty()) {
        throw ConfigError("no kernel of this build can serve the call on " + device.info.id +
                          why_none(selection, demand));
    }
    return selection;
}

std::vector<Plan> select(std::vector<Demand> demands, const LayerOptions &options) {
    const Wish wish = kernel_wish(options), device(options.device, "AFT_DEVICE");
    const std::string storage = storage_of(options);
    for (Demand &demand : demands) {
        demand.storage = storage;
    }
    const DriverDevice *named = device.name.empty() ? nullptr : &device_named(device.name, device.origin);
    const Kernel *kernel = wish.name.empty() ? nullptr : &kernel_named(wish, demands);
    const auto is_for = [&](const Demand &demand) {
        return kernel && kernel->info.operation == demand.operation && serves(kernel->info.layer, demand.config.form);
    };
    if (kernel) {
        const auto first = std::find_if(demands.begin(), demands.end(), is_for);
        named = with_kernel(wish, *kernel, named, first == demands.end() ? demands.front() : *first).device;
    }
    std::vector<Plan> result;
    std::string reasons;
    for (const DriverDevice *candidate : named ? std::vector<const DriverDevice *>{named} : automatic_devices()) {
        Plan plan;
        for (const Demand &demand : demands) {
            Selection selection =
                is_for(demand) ? with_kernel(wish, *kernel, candidate, demand) : on_device(*candidate, demand);
            if (selection.candidates.empty()) {
                reasons += why_none(selection, demand);
                break;
            }
            plan.push_back(std::move(selection));
        }
        if (plan.size() == demands.size()) {
            result.push_back(std::move(plan));
        }
    }
    if (result.empty()) {
        throw ConfigError("no kernel of this build can serve the layer" +
                          (named ? " on " + named->info.id + device.origin : "") + reasons);
    }
    return result;
}

}  // namespace aft
