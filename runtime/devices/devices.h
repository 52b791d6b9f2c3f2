#pragma once

#include "devices/driver.h"

#include <string>
#include <vector>

namespace aft {

/// Those of one API, in the same order; none when the build has no kernels for it. Its first call looks for them, which
/// loads the drivers of this API and no other.
const std::vector<DriverDevice> &devices_of(const std::string &api);

/// devices(), as their drivers have them.
const std::vector<const DriverDevice *> &driver_devices();

/// The device of an id, or the first usable one of an API. Throws ConfigError when there is no such id or API in this
/// build, and DeviceError when the device isn't usable; their messages have `origin` behind the name.
const DriverDevice &device_named(const std::string &id_or_api, const std::string &origin = "");

/// Why code for a Halide target can't run on a device, "has compute capability 7.0, not 8.0"; empty when it can.
std::string objection(const DriverDevice &device, const std::string &target);

/// The device as a layer uses it; null for the CPU. Throws DeviceError.
std::shared_ptr<DeviceContext> open(const DriverDevice &device);

}  // namespace aft
