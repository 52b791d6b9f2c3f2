#pragma once

#include <aft/aft_c.h>
#include <aft/device.h>
#include <aft/kernels.h>

namespace aft {

/// The same for C, which lives until the process ends.
const aft_kernel_info *c_info(const KernelInfo &kernel);
const aft_device_info *c_info(const Device &device);

}  // namespace aft
