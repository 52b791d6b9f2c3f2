#pragma once

#include "devices/devices.h"
#include "kernels/registry.h"
#include "weights/bias_range.h"

#include <aft/kernels.h>

#include <string>
#include <vector>

namespace aft {

/// A device, and the kernels of a layer that may run on it: in order of preference, up to the first that is for every
/// shape.
struct Choice {
    const DriverDevice &device;
    std::vector<const Kernel *> kernels;
};

/// Where a layer may live, in order of preference; never empty. One only when a device or a kernel is forced. Throws
/// ConfigError, and DeviceError for a forced device that can't be used.
std::vector<Choice> choices(const LayerConfig &config, const BiasRange &bias, const LayerOptions &options);

/// Why a kernel can't do a shape; empty when it can.
std::string objection(const KernelInfo &kernel, const Shape &shape);

/// Whether the shape is one that the kernel, chosen for a layer, is preferred for.
bool is_for(const KernelInfo &kernel, const Shape &shape);

}  // namespace aft
