#pragma once

#include "devices/devices.h"

#include <string>
#include <vector>

namespace aft {

/// The devices of one API, the preferred ones first; none when the build has no kernels for it. The first call looks
/// for them and loads the drivers of this API and no other. Thread-safe.
const std::vector<DriverDevice> &devices_of(const std::string &api);

/// devices(), as their drivers report them.
const std::vector<const DriverDevice *> &driver_devices();

/// The device with an id, or the first usable device of an API. Throws ConfigError when this build has no such id or
/// API, and DeviceError when the device isn't usable; their messages have `origin` behind the name.
const DriverDevice &device_named(const std::string &id_or_api, const std::string &origin = "");

}  // namespace aft
