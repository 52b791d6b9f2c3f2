#include "kernels/device.h"

#include "halide/halide.h"
#include "kernels/kernel_table.h"

#include <aft/error.h>

#include <algorithm>
#include <map>
#include <mutex>

namespace aft {
namespace {

/// The targets of the build's kernels for an API.
std::vector<std::string> targets_of(const std::string &api) {
    std::vector<std::string> targets;
    for (const KernelRow &row : kernel_rows()) {
        if (api == row.api) {
            targets.emplace_back(row.call.metadata()->target);
        }
    }
    return targets;
}

}  // namespace

const std::vector<DriverDevice> &devices_of(const std::string &api) {
    static std::mutex mutex;
    static std::map<std::string, std::vector<DriverDevice>> all;
    static const std::vector<DriverDevice> none;
    const std::vector<std::string> apis = device_apis();
    if (std::find(apis.begin(), apis.end(), api) == apis.end()) {
        return none;
    }
    const std::lock_guard lock(mutex);
    auto found = all.find(api);
    if (found == all.end()) {
        found = all.emplace(api, find_devices(api, targets_of(api))).first;
    }
    return found->second;
}

const std::vector<const DriverDevice *> &driver_devices() {
    static const std::vector<const DriverDevice *> all = [] {
        std::vector<const DriverDevice *> result;
        for (const std::string &api : device_apis()) {
            for (const DriverDevice &device : devices_of(api)) {
                result.push_back(&device);
            }
        }
        std::stable_sort(result.begin(), result.end(),
                         [](const DriverDevice *a, const DriverDevice *b) { return is_preferred(a->info, b->info); });
        return result;
    }();
    return all;
}

const std::vector<Device> &devices() {
    static const std::vector<Device> all = [] {
        std::vector<Device> result;
        for (const DriverDevice *device : driver_devices()) {
            result.push_back(device->info);
        }
        return result;
    }();
    return all;
}

const DriverDevice &device_named(const std::string &id_or_api, const std::string &origin) {
    const DriverDevice *unusable = nullptr;
    for (const DriverDevice &device : devices_of(id_or_api.substr(0, id_or_api.find(':')))) {
        if (device.info.id == id_or_api || device.info.api == id_or_api) {
            if (device.info.usable) {
                return device;
            }
            unusable = unusable ? unusable : &device;
        }
    }
    if (unusable) {
        throw DeviceError("device " + unusable->info.id + origin + " can't be used: " + unusable->info.reason);
    }
    std::string ids;
    for (const Device &device : devices()) {
        ids += (ids.empty() ? "" : ", ") + device.id;
    }
    throw ConfigError("device '" + id_or_api + "'" + origin + " doesn't exist: must be " + ids);
}

}  // namespace aft
