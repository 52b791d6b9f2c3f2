#include "devices/devices.h"

#include "devices/cpu_features.h"
#include "devices/cuda_driver.h"
#include "system/system.h"
#include "threads/float_environment.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <map>
#include <string_view>

namespace aft {
namespace {

DriverDevices find_cpu() {
    DriverDevice cpu;
    cpu.info.api = "cpu";
    cpu.info.name = cpu_name();
    cpu.info.memory = memory_bytes();
    return {{cpu}, ""};
}

/// Fills in whether the device can run code for one of the targets.
void judge(DriverDevice &device, const std::vector<std::string> &targets) {
    const auto fits = [&](const std::string &target) { return obstacle(device, target).empty(); };
    device.info.usable = std::any_of(targets.begin(), targets.end(), fits);
    device.info.reason = device.info.usable ? "" : obstacle(device, targets.front());
}

struct Api {
    const char *name;
    DriverDevices (*find)();
};
constexpr Api apis[] = {{"cuda", find_cuda_devices},
                        {"opencl", find_opencl_devices},
                        {"vulkan", find_vulkan_devices},
                        {"cpu", find_cpu}};

int rank(const Device &device) {
    return device.name.empty() ? 3 : device.is_gpu ? 0 : device.api == "cpu" ? 1 : 2;
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

bool has_word(const std::string &target, std::string_view word) {
    const std::vector<std::string_view> words = words_of(target);
    return std::find(words.begin(), words.end(), word) != words.end();
}

std::string version(int number) {
    return std::to_string(number / 10) + "." + std::to_string(number % 10);
}

}  // namespace

std::string obstacle(const DriverDevice &device, const std::string &target, std::string_view storage) {
    if (!device.problem.empty()) {
        return device.problem;
    }
    const std::string missing = missing_cpu_features(target);
    if (!missing.empty()) {
        return "this CPU lacks " + missing;
    }
    if (storage == "bfloat16" && has_word(target, "avx512_sapphirerapids") && !may_use_matrix_unit()) {
        return "the operating system refuses the registers of AMX";
    }
    if (!device.byte_problem.empty() && has_word(target, "vk_int8")) {
        return device.byte_problem;
    }
    const bool cuda = device.info.api == "cuda";
    const int needed = version_in(target, cuda ? "cuda_capability_" : "vk_v");
    if (device.version >= needed) {
        return "";
    }
    return (cuda ? "has compute capability " : "has Vulkan ") + version(device.version) + ", not " + version(needed);
}

bool is_preferred(const Device &a, const Device &b) {
    return rank(a) < rank(b);
}

bool is_automatic(const Device &device) {
    return device.usable && (device.is_gpu || device.api == "cpu");
}

std::vector<std::string> device_apis() {
    std::vector<std::string> names;
    std::transform(std::begin(apis), std::end(apis), std::back_inserter(names),
                   [](const Api &api) { return api.name; });
    return names;
}

std::vector<DriverDevice> find_devices(const std::string &api, const std::vector<std::string> &targets) {
    const auto *known = std::find_if(std::begin(apis), std::end(apis), [&](const Api &a) { return a.name == api; });
    if (known == std::end(apis) || targets.empty()) {
        return {};
    }
    const FloatEnvironment during;  // threads that a driver starts keep it
    DriverDevices found = known->find();
    if (found.devices.empty()) {
        found.devices.emplace_back();
        found.devices[0].info.api = api;
        found.devices[0].problem = found.reason;
    }
    int number = 0;
    for (DriverDevice &device : found.devices) {
        device.info.id = api == "cpu" ? "cpu" : api + ":" + std::to_string(number++);
        device.process = process_id();
        judge(device, targets);
    }
    std::stable_sort(found.devices.begin(), found.devices.end(),
                     [](const DriverDevice &a, const DriverDevice &b) { return is_preferred(a.info, b.info); });
    return found.devices;
}

std::shared_ptr<DeviceContext> open(const DriverDevice &device) {
    static const std::map<std::string, std::shared_ptr<DeviceContext> (*)(const DriverDevice &)> ways = {
        {"cuda", [](const DriverDevice &cuda) -> std::shared_ptr<DeviceContext> { return CudaContext::open(cuda); }},
        {"opencl", open_opencl_device},
        {"vulkan", open_vulkan_device}};
    const auto way = ways.find(device.info.api);
    if (way == ways.end()) {
        return nullptr;
    }
    check_process(device.info, device.process);
    return way->second(device);
}

}  // namespace aft
