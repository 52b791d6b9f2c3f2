#include "devices/driver.h"

#include <aft/error.h>

namespace aft {
namespace {

constexpr const char *why = "drivers are found on Linux only";

}  // namespace

std::string why_no_libraries() {
    return "libraries are loaded on Linux only";
}

DriverLibrary::DriverLibrary(const char *name, bool) : name_(name), handle_(nullptr) {
    problem_ = std::string(name_) + ": " + why;
}

void *DriverLibrary::symbol(const char *) {
    return handle_;
}

DriverDevices find_vulkan_devices() {
    return {{}, why};
}

std::shared_ptr<DeviceContext> open_vulkan_device(const DriverDevice &device) {
    throw DeviceError(device.info.id + ": " + why);
}

}  // namespace aft
