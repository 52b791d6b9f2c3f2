#pragma once

#include "halide/device_context.h"

#include <memory>
#include <string>
#include <vector>

namespace aft {

/// Why this program can't load any library; empty when it can.
std::string why_no_libraries();

/// A library that is found at run time, such as a driver's, so that a build runs on machines without it. Never
/// unloaded.
class DriverLibrary {
public:
    /// The name must live as long as the object. `global`: libraries that are loaded later find its functions.
    explicit DriverLibrary(const char *name, bool global = false);

    /// Sets `function` to the library's function `name`.
    template<typename Function>
    void find(const char *name, Function *&function) {
        function = reinterpret_cast<Function *>(symbol(name));
    }
    /// Why it can't be used; empty when it was loaded and has every function that was looked for.
    const std::string &problem() const {
        return problem_;
    }

private:
    void *symbol(const char *name);

    const char *name_;
    void *handle_;
    std::string problem_;
};

/// A device as its driver reports it.
struct DriverDevice {
    Device info;               // its driver fills in api, name, memory and is_gpu
    std::string problem;       // why no kernel can run on it; empty when some may
    std::string byte_problem;  // why kernels with 8-bit integers can't; empty when they may
    std::int64_t process = 0;  // that has found it
    int version = 0;           // 86 for CUDA's compute capability 8.6, 13 for Vulkan 1.3
    int number = 0;            // CUDA
    void *handle = nullptr;    // OpenCL
    void *platform = nullptr;
};

struct DriverDevices {
    std::vector<DriverDevice> devices;
    std::string reason;  // why there are none
};

/// Finding never fails and never prints; opening throws DeviceError.
DriverDevices find_cuda_devices();
DriverDevices find_opencl_devices();
DriverDevices find_vulkan_devices();
std::shared_ptr<DeviceContext> open_opencl_device(const DriverDevice &device);
std::shared_ptr<DeviceContext> open_vulkan_device(const DriverDevice &device);

}  // namespace aft
