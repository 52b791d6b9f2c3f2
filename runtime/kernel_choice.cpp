#include "kernel_choice.h"

#include "kernel_table.h"

#include <aft/error.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

namespace aft {
namespace {

std::string at_least(const char *what, std::int64_t minimum, std::int64_t value) {
    return std::string("takes ") + what + " >= " + std::to_string(minimum) + ", not " + std::to_string(value);
}

std::string number(float value) {
    std::ostringstream text;
    text << value;
    return text.str();
}

/// Why a kernel can't serve a layer; empty when it can.
std::string objection(const KernelInfo &kernel, const LayerConfig &config, const BiasRange &bias) {
    const MinimumExtents &minimum = kernel.minimum;
    if (kernel.layer != config.kind) {
        return "is a kernel of layer " + std::string(name(kernel.layer)) + ", not " + std::string(name(config.kind));
    }
    if (!kernel.usable) {
        return "can't run here: " + kernel.reason;
    }
    if (config.hidden < minimum.hidden) {
        return at_least("hidden", minimum.hidden, config.hidden);
    }
    if (config.projected < minimum.projected) {
        return at_least("projected", minimum.projected, config.projected);
    }
    if (config.max_seq_len < minimum.seq) {
        return at_least("max_seq_len", minimum.seq, config.max_seq_len);
    }
    if (config.kind == LayerKind::local && config.window < minimum.window) {
        return at_least("window", minimum.window, config.window);
    }
    if (!kernel.any_bias_range && !(bias.range <= max_bias_range)) {
        return "takes a position bias whose rows have a range of at most " + number(max_bias_range) + ", row " +
               std::to_string(bias.row) + " has " + number(bias.range);
    }
    return "";
}

bool contains(const PreferredExtents::Range &range, std::int64_t value) {
    return range.from <= value && value <= range.to;
}

/// Why a kernel isn't chosen for a layer that it could serve; empty when it is, for some or all of its shapes.
std::string reservation(const KernelInfo &kernel, const LayerConfig &config) {
    if (kernel.storage != "float32") {
        return "keeps " + kernel.storage + ", for those who ask for it";
    }
    const PreferredExtents &preferred = kernel.preferred;
    const bool is_for_layer = contains(preferred.hidden, config.hidden) &&
                              contains(preferred.projected, config.projected) &&
                              (config.kind != LayerKind::local || contains(preferred.window, config.window)) &&
                              preferred.seq.from <= config.max_seq_len;
    return is_for_layer ? "" : "is for other extents";
}

/// Whether a kernel is for every sequence of a layer.
bool is_for_all(const KernelInfo &kernel, const LayerConfig &config) {
    return objection(kernel, Shape{1, 1}).empty() && is_for(kernel, Shape{1, 1}) &&
           is_for(kernel, Shape{1, config.max_seq_len});
}

std::size_t index_of(const std::string &id, LayerKind kind) {
    std::string ids;
    for (std::size_t i = 0; i < kernels().size(); i++) {
        const KernelInfo &kernel = kernels()[i];
        if (kernel.id == id) {
            return i;
        }
        if (kernel.layer == kind) {
            ids += (ids.empty() ? "" : ", ") + kernel.id;
        }
    }
    throw ConfigError("kernel '" + id + "' doesn't exist; layer " + std::string(name(kind)) + " has " + ids);
}

std::size_t checked_kernel(const std::string &id, const LayerConfig &config, const BiasRange &bias) {
    const std::size_t index = index_of(id, config.kind);
    const std::string why_not = objection(kernels()[index], config, bias);
    if (why_not.empty()) {
        return index;
    }
    const auto exact = std::find_if(kernels().begin(), kernels().end(), [&](const KernelInfo &kernel) {
        return kernel.device == kernels()[index].device && kernel.any_bias_range &&
               objection(kernel, config, bias).empty();
    });
    const bool exact_helps = !(bias.range <= max_bias_range) && exact != kernels().end();
    throw ConfigError("kernel " + id + " " + why_not + (exact_helps ? "; " + exact->id + " takes any" : ""));
}

Choice forced_kernel(const std::string &id, const DriverDevice *device, const LayerConfig &config,
                     const BiasRange &bias) {
    const std::size_t index = checked_kernel(id, config, bias);
    const KernelInfo &kernel = kernels()[index];
    if (!device) {
        // There is one, or the kernel wouldn't be usable.
        device = &*std::find_if(driver_devices().begin(), driver_devices().end(), [&](const DriverDevice &device) {
            return device.info.api == kernel.device && objection(device, kernel.target).empty();
        });
    } else if (device->info.api != kernel.device) {
        throw ConfigError("kernel " + id + " is for " + kernel.device + ", not for device " + device->info.id);
    } else if (const std::string why_not = objection(*device, kernel.target); !why_not.empty()) {
        throw ConfigError("kernel " + id + " can't run on device " + device->info.id + ": " + why_not);
    }
    return {*device, {index}};
}

/// The kernels that may run on a device. Adds why the others can't.
std::vector<std::size_t> chosen_kernels(const DriverDevice &device, const LayerConfig &config, const BiasRange &bias,
                                        std::string &objections) {
    std::vector<std::size_t> chosen;
    for (std::size_t i = 0; i < kernels().size(); i++) {
        const KernelInfo &kernel = kernels()[i];
        if (kernel.device != device.info.api || kernel.layer != config.kind) {
            continue;
        }
        std::string why_not = objection(device, kernel.target);
        why_not = why_not.empty() ? objection(kernel, config, bias) : why_not;
        why_not = why_not.empty() ? reservation(kernel, config) : why_not;
        if (why_not.empty()) {
            chosen.push_back(i);
            if (is_for_all(kernel, config)) {
                break;
            }
        } else {
            objections += "; " + kernel.id + " " + why_not;
        }
    }
    return chosen;
}

/// Drivers that run on the CPU are slower than the CPU's own kernels.
bool is_chosen_unasked(const Device &device) {
    return device.usable && (device.is_gpu || device.api == "cpu");
}

std::string or_environment(const std::string &option, const char *variable) {
    const char *value = std::getenv(variable);
    return option.empty() && value ? value : option;
}

}  // namespace

std::vector<Choice> choices(const LayerConfig &config, const BiasRange &bias, const LayerOptions &options) {
    const std::string kernel = or_environment(options.kernel, "AFT_KERNEL");
    const std::string device = or_environment(options.device, "AFT_DEVICE");
    const DriverDevice *forced = device.empty() ? nullptr : &device_named(device);
    if (!kernel.empty()) {
        return {forced_kernel(kernel, forced, config, bias)};
    }
    std::vector<Choice> result;
    std::string objections;
    for (const DriverDevice &candidate : driver_devices()) {
        if (forced ? forced == &candidate : is_chosen_unasked(candidate.info)) {
            const std::vector<std::size_t> chosen = chosen_kernels(candidate, config, bias, objections);
            if (!chosen.empty()) {
                result.push_back({candidate, chosen});
            }
        }
    }
    if (result.empty()) {
        throw ConfigError("no kernel of this build can serve the layer" + (forced ? " on " + forced->info.id : "") +
                          objections);
    }
    return result;
}

bool is_for(const KernelInfo &kernel, const Shape &shape) {
    return contains(kernel.preferred.seq, shape.seq);
}

std::string objection(const KernelInfo &kernel, const Shape &shape) {
    if (shape.batch < kernel.minimum.batch) {
        return at_least("batch", kernel.minimum.batch, shape.batch);
    }
    if (shape.seq < kernel.minimum.seq) {
        return at_least("seq", kernel.minimum.seq, shape.seq);
    }
    return "";
}

}  // namespace aft
