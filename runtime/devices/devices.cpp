#include "devices/devices.h"

#include "devices/cuda_driver.h"
#include "halide/halide.h"
#include "kernels/kernel_table.h"
#include "kernels/registry.h"
#include "threads/float_environment.h"

#include <aft/error.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <string_view>
#include <unistd.h>

namespace aft {
namespace {

std::string cpu_name() {
    std::ifstream file("/proc/cpuinfo");
    file.exceptions(std::ios::badbit);  // or a lack of memory would look like the end of the file
    for (std::string line; std::getline(file, line);) {
        const std::size_t colon = line.find(": ");
        if (line.rfind("model name", 0) == 0 && colon != std::string::npos) {
            return line.substr(colon + 2);
        }
    }
    return "CPU";
}

DriverDevices find_cpu() {
    DriverDevice cpu;
    cpu.info.api = "cpu";
    cpu.info.name = cpu_name();
    cpu.info.memory = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
    return {{cpu}, ""};
}

/// The targets that this build has kernels of the API for.
std::vector<std::string> targets_of(const std::string &api) {
    std::vector<std::string> targets;
    for (const KernelRow &row : kernel_rows()) {
        if (api == row.device) {
            targets.emplace_back(row.forward_metadata()->target);
        }
    }
    return targets;
}

/// Fills in whether some kernel of the build can run on the device.
void judge(DriverDevice &device, const std::vector<std::string> &targets) {
    const auto fits = [&](const std::string &target) { return objection(device, target).empty(); };
    device.info.usable = std::any_of(targets.begin(), targets.end(), fits);
    device.info.reason = device.info.usable ? "" : objection(device, targets.front());
}

struct Api {
    const char *name;
    DriverDevices (*find)();
};
constexpr Api apis[] = {{"cuda", find_cuda_devices},
                        {"opencl", find_opencl_devices},
                        {"vulkan", find_vulkan_devices},
                        {"cpu", find_cpu}};

/// The order of devices().
int rank(const Device &device) {
    return device.name.empty() ? 3 : device.is_gpu ? 0 : device.api == "cpu" ? 1 : 2;
}

/// None for an API that the build has no kernels for.
std::vector<DriverDevice> find_devices(const Api &api) {
    const std::vector<std::string> targets = targets_of(api.name);
    if (targets.empty()) {
        return {};
    }
    const FloatEnvironment during;  // threads that a driver starts keep it
    DriverDevices found = api.find();
    if (found.devices.empty()) {
        found.devices.emplace_back();
        found.devices[0].info.api = api.name;
        found.devices[0].problem = found.reason;
    }
    int number = 0;
    for (DriverDevice &device : found.devices) {
        device.info.id = device.info.api == "cpu" ? "cpu" : device.info.api + ":" + std::to_string(number++);
        judge(device, targets);
    }
    std::stable_sort(found.devices.begin(), found.devices.end(),
                     [](const DriverDevice &a, const DriverDevice &b) { return rank(a.info) < rank(b.info); });
    return found.devices;
}

/// 80 in cuda_capability_80, 13 in vk_v13; 0 where the target has no such word.
int version_in(const std::string &target, const std::string &prefix) {
    for (const std::string_view word : words_of(target)) {
        if (word.rfind(prefix, 0) == 0) {
            return std::atoi(word.data() + prefix.size());  // stops at the next word
        }
    }
    return 0;
}

std::string version(int number) {
    return std::to_string(number / 10) + "." + std::to_string(number % 10);
}

}  // namespace

std::string objection(const DriverDevice &device, const std::string &target) {
    if (!device.problem.empty()) {
        return device.problem;
    }
    const std::string missing = missing_cpu_features(target);
    if (!missing.empty()) {
        return "this CPU lacks " + missing;
    }
    const bool cuda = device.info.api == "cuda";
    const int needed = version_in(target, cuda ? "cuda_capability_" : "vk_v");
    if (device.version >= needed) {
        return "";
    }
    return (cuda ? "has compute capability " : "has Vulkan ") + version(device.version) + ", not " + version(needed);
}

const std::vector<DriverDevice> &devices_of(const std::string &api) {
    static std::mutex mutex;
    static std::map<std::string, std::vector<DriverDevice>> all;
    static const std::vector<DriverDevice> none;
    const auto *known = std::find_if(std::begin(apis), std::end(apis), [&](const Api &a) { return a.name == api; });
    if (known == std::end(apis)) {
        return none;
    }
    const std::lock_guard lock(mutex);
    auto found = all.find(api);
    if (found == all.end()) {
        found = all.emplace(api, find_devices(*known)).first;
    }
    return found->second;
}

const std::vector<const DriverDevice *> &driver_devices() {
    static const std::vector<const DriverDevice *> all = [] {
        std::vector<const DriverDevice *> result;
        for (const Api &api : apis) {
            for (const DriverDevice &device : devices_of(api.name)) {
                result.push_back(&device);
            }
        }
        std::stable_sort(result.begin(), result.end(),
                         [](const DriverDevice *a, const DriverDevice *b) { return rank(a->info) < rank(b->info); });
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

std::shared_ptr<DeviceContext> open(const DriverDevice &device) {
    static const std::map<std::string, std::shared_ptr<DeviceContext> (*)(const DriverDevice &)> ways = {
        {"cuda", [](const DriverDevice &cuda) -> std::shared_ptr<DeviceContext> { return CudaContext::open(cuda); }},
        {"opencl", open_opencl_device},
        {"vulkan", open_vulkan_device}};
    const auto way = ways.find(device.info.api);
    return way == ways.end() ? nullptr : way->second(device);
}

}  // namespace aft
