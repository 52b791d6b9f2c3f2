#include "c/c_infos.h"
#include "c/c_arguments.h"

#include <cmath>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace aft {
namespace {

aft_kernel_info made_for_c(const KernelInfo &kernel) {
    const auto range = [](const PreferredExtents::Range &range) { return aft_range{range.from, range.to}; };
    const MinimumExtents &minimum = kernel.minimum;
    const PreferredExtents &preferred = kernel.preferred;
    return {kernel.id.c_str(),
            kernel.layer ? kind_of(*kernel.layer) : static_cast<aft_layer_kind>(AFT_LAYER_NONE),
            kernel.usable,
            kernel.reason.c_str(),
            kernel.api.c_str(),
            kernel.schedule.c_str(),
            kernel.target.c_str(),
            kernel.storage.c_str(),
            kernel.any_bias_range ? INFINITY : max_bias_range,
            minimum.batch,
            minimum.seq,
            minimum.hidden,
            minimum.projected,
            minimum.window,
            range(preferred.seq),
            range(preferred.hidden),
            range(preferred.projected),
            range(preferred.window),
            kernel.operation.c_str(),
            kernel.algorithm.c_str()};
}

aft_device_info made_for_c(const Device &device) {
    return {device.id.c_str(), device.api.c_str(), device.name.c_str(),  device.memory,
            device.is_gpu,     device.usable,      device.reason.c_str()};
}

/// The key of an info. Wisdom may change the lengths of a kernel.
std::string key_of(const KernelInfo &kernel) {
    const PreferredExtents::Range &seq = kernel.preferred.seq;
    return kernel.id + " " + std::to_string(seq.from) + " " + std::to_string(seq.to);
}

const std::string &key_of(const Device &device) {
    return device.id;
}

/// Made on the first use and kept. So a program that uses only the CPU loads no drivers.
template<typename CInfo, typename Info>
const CInfo *kept(const Info &info) {
    static std::mutex mutex;
    static std::map<std::string, CInfo> all;
    const std::lock_guard lock(mutex);
    return &all.emplace(key_of(info), made_for_c(info)).first->second;
}

template<typename Info>
const Info &info_at(const std::vector<Info> &infos, std::int64_t index) {
    const auto count = static_cast<std::int64_t>(infos.size());
    if (index < 0 || index >= count) {
        throw ArgumentError("index is " + std::to_string(index) + ", must be 0 to " + std::to_string(count - 1));
    }
    return infos[index];
}

}  // namespace

const aft_kernel_info *c_info(const KernelInfo &kernel) {
    return kept<aft_kernel_info>(kernel);
}

const aft_device_info *c_info(const Device &device) {
    return kept<aft_device_info>(device);
}

}  // namespace aft

using namespace aft;

aft_status aft_kernel_count(int64_t *count) {
    return guarded([&] { given("count", count) = static_cast<std::int64_t>(kernels().size()); });
}

aft_status aft_kernel_at(int64_t index, const aft_kernel_info **kernel) {
    return guarded([&] { given("kernel", kernel) = c_info(info_at(kernels(), index)); });
}

aft_status aft_load_kernels(const char *path) {
    return guarded([&] { load_kernels(&given("path", path)); });
}

aft_status aft_device_count(int64_t *count) {
    return guarded([&] { given("count", count) = static_cast<std::int64_t>(devices().size()); });
}

aft_status aft_device_at(int64_t index, const aft_device_info **device) {
    return guarded([&] { given("device", device) = c_info(info_at(devices(), index)); });
}
