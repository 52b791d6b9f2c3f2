#include "kernels/kernel_choice.h"

#include "kernels/kernel_table.h"

#include <aft/error.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
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
    if (kernel.layer != config.form) {
        return "is a kernel of layer " + std::string(name(kernel.layer)) + ", not " + std::string(name(config.form));
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
    if (config.form.has_window() && config.window < minimum.window) {
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
                              (!config.form.has_window() || contains(preferred.window, config.window)) &&
                              preferred.seq.from <= config.max_seq_len;
    return is_for_layer ? "" : "is for other extents";
}

/// Whether a kernel is for every sequence of a layer.
bool is_for_all(const KernelInfo &kernel, const LayerConfig &config) {
    return objection(kernel, Shape{1, 1}).empty() && is_for(kernel, Shape{1, 1}) &&
           is_for(kernel, Shape{1, config.max_seq_len});
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

const Kernel &kernel_named(const Wish &wish, LayerForm form) {
    std::string ids;
    for (const KernelRow &row : kernel_rows()) {
        if (row.id == wish.name) {
            const std::vector<Kernel> &kernels = kernels_of(row.device);
            return *std::find_if(kernels.begin(), kernels.end(), [&](const Kernel &k) { return &k.row == &row; });
        }
        if (row.layer == form) {
            ids += (ids.empty() ? "" : ", ") + std::string(row.id);
        }
    }
    throw ConfigError("kernel '" + wish.name + "'" + wish.origin + " doesn't exist; layer " + std::string(name(form)) +
                      " has " + ids);
}

/// The kernel by its name, if it can serve the layer.
const Kernel &checked_kernel(const Wish &wish, const LayerConfig &config, const BiasRange &bias) {
    const Kernel &kernel = kernel_named(wish, config.form);
    const std::string why_not = objection(kernel.info, config, bias);
    if (why_not.empty()) {
        return kernel;
    }
    const std::vector<Kernel> &others = kernels_of(kernel.info.device);
    const auto exact = std::find_if(others.begin(), others.end(), [&](const Kernel &other) {
        return other.info.any_bias_range && objection(other.info, config, bias).empty();
    });
    const bool exact_helps = !(bias.range <= max_bias_range) && exact != others.end();
    throw ConfigError("kernel " + wish.name + wish.origin + " " + why_not +
                      (exact_helps ? "; " + exact->info.id + " takes any" : ""));
}

Choice forced_kernel(const Wish &wish, const DriverDevice *device, const LayerConfig &config, const BiasRange &bias) {
    const Kernel &kernel = checked_kernel(wish, config, bias);
    const KernelInfo &info = kernel.info;
    const std::string who = "kernel " + wish.name + wish.origin;
    if (!device) {
        // There is one, or the kernel wouldn't be usable.
        const std::vector<DriverDevice> &devices = devices_of(info.device);
        device = &*std::find_if(devices.begin(), devices.end(), [&](const DriverDevice &candidate) {
            return objection(candidate, info.target).empty();
        });
    } else if (device->info.api != info.device) {
        throw ConfigError(who + " is for " + info.device + ", not for device " + device->info.id);
    } else if (const std::string why_not = objection(*device, info.target); !why_not.empty()) {
        throw ConfigError(who + " can't run on device " + device->info.id + ": " + why_not);
    }
    return {*device, {&kernel}};
}

/// The kernels that may run on a device. Adds why the others can't.
std::vector<const Kernel *> chosen_kernels(const DriverDevice &device, const LayerConfig &config, const BiasRange &bias,
                                           std::string &objections) {
    std::vector<const Kernel *> chosen;
    for (const Kernel &kernel : kernels_of(device.info.api)) {
        const KernelInfo &info = kernel.info;
        if (info.layer != config.form) {
            continue;
        }
        std::string why_not = objection(device, info.target);
        why_not = why_not.empty() ? objection(info, config, bias) : why_not;
        why_not = why_not.empty() ? reservation(info, config) : why_not;
        if (why_not.empty()) {
            chosen.push_back(&kernel);
            if (is_for_all(info, config)) {
                break;
            }
        } else {
            objections += "; " + info.id + " " + why_not;
        }
    }
    return chosen;
}

/// Drivers that run on the CPU are slower than the CPU's own kernels.
bool is_chosen_unasked(const Device &device) {
    return device.usable && (device.is_gpu || device.api == "cpu");
}

/// The devices on which a layer that asks for none may live.
std::vector<const DriverDevice *> candidates() {
    std::vector<const DriverDevice *> result;
    std::copy_if(driver_devices().begin(), driver_devices().end(), std::back_inserter(result),
                 [](const DriverDevice *device) { return is_chosen_unasked(device->info); });
    return result;
}

}  // namespace

std::vector<Choice> choices(const LayerConfig &config, const BiasRange &bias, const LayerOptions &options) {
    const Wish kernel(options.kernel, "AFT_KERNEL"), device(options.device, "AFT_DEVICE");
    const DriverDevice *forced = device.name.empty() ? nullptr : &device_named(device.name, device.origin);
    if (!kernel.name.empty()) {
        return {forced_kernel(kernel, forced, config, bias)};
    }
    std::vector<Choice> result;
    std::string objections;
    for (const DriverDevice *candidate : forced ? std::vector<const DriverDevice *>{forced} : candidates()) {
        const std::vector<const Kernel *> chosen = chosen_kernels(*candidate, config, bias, objections);
        if (!chosen.empty()) {
            result.push_back({*candidate, chosen});
        }
    }
    if (result.empty()) {
        throw ConfigError("no kernel of this build can serve the layer" +
                          (forced ? " on " + forced->info.id + device.origin : "") + objections);
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
