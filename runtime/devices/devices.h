#pragma once

#include "devices/driver.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace aft {

/// The APIs that kernels may be made for, in the order in which layers choose among GPUs.
std::vector<std::string> device_apis();

/// The devices of one API, the preferred ones first. A device is usable when it can run code for one of the Halide
/// targets; without a device, the list has one that says why. Loads the drivers of this API and no other. Empty without
/// targets.
std::vector<DriverDevice> find_devices(const std::string &api, const std::vector<std::string> &targets);

/// Why a device can't run code for a Halide target, "has compute capability 7.0, not 8.0"; empty when it can. storage:
/// of the kernel (KernelInfo::storage).
std::string obstacle(const DriverDevice &device, const std::string &target, std::string_view storage = "float32");

/// The order of devices(): GPUs, the CPU, drivers that run on the CPU, APIs without a device.
bool is_preferred(const Device &a, const Device &b);

/// Whether a layer may choose the device without being told to. Drivers that run on the CPU are slower than the CPU's
/// own kernels.
bool is_automatic(const Device &device);

/// The device as a layer uses it; null for the CPU. Throws DeviceError.
std::shared_ptr<DeviceContext> open(const DriverDevice &device);

}  // namespace aft
