#include "devices/driver.h"

#include "halide/halide_devices.h"
#include "halide/halide_runtime.h"

#include <aft/error.h>

#include <cstdint>
#include <map>

namespace aft {
namespace {

using Result = std::int32_t;  // cl_int: 0 is success
constexpr Result no_platforms = -1001;
enum DeviceInfo : std::uint32_t {
    device_type = 0x1000,
    device_global_memory = 0x101F,
    device_available = 0x1027,
    device_compiler_available = 0x1028,
    device_name = 0x102B
};
constexpr std::uint64_t type_gpu = 4, every_type = 0xFFFFFFFF;
constexpr std::intptr_t context_platform = 0x1084;

/// The driver's functions that are called here. Halide's runtime calls the others.
struct OpenCL {
    DriverLibrary library{"libOpenCL.so.1"};
    Result (*platforms)(std::uint32_t, void **, std::uint32_t *);
    Result (*devices)(void *, std::uint64_t, std::uint32_t, void **, std::uint32_t *);
    Result (*device_info)(void *, std::uint32_t, std::size_t, void *, std::size_t *);
    void *(*create_context)(const std::intptr_t *, std::uint32_t, void *const *, void *, void *, Result *);
    void *(*create_queue)(void *, void *, std::uint64_t, Result *);

    OpenCL() {
        library.find("clGetPlatformIDs", platforms);
        library.find("clGetDeviceIDs", devices);
        library.find("clGetDeviceInfo", device_info);
        library.find("clCreateContext", create_context);
        library.find("clCreateCommandQueue", create_queue);
    }

    template<typename T>
    T info(void *device, DeviceInfo which) const {
        T value{};
        return device_info(device, which, sizeof(value), &value, nullptr) == 0 ? value : T{};
    }
};

OpenCL &opencl() {
    static OpenCL driver;
    return driver;
}

DriverDevice describe(void *platform, void *handle) {
    const OpenCL &driver = opencl();
    DriverDevice device;
    device.handle = handle;
    device.platform = platform;
    device.info.api = "opencl";
    char name[256] = "";
    driver.device_info(handle, device_name, sizeof(name) - 1, name, nullptr);
    device.info.name = name;
    device.info.memory = driver.info<std::uint64_t>(handle, device_global_memory);
    device.info.is_gpu = (driver.info<std::uint64_t>(handle, device_type) & type_gpu) != 0;
    if (!driver.info<std::uint32_t>(handle, device_available)) {
        device.problem = "its driver says that it isn't available";
    } else if (!driver.info<std::uint32_t>(handle, device_compiler_available)) {
        device.problem = "its driver has no compiler";
    }
    return device;
}

class OpenCLContext : public DeviceContext {
public:
    explicit OpenCLContext(const DriverDevice &of) : DeviceContext(of.info) {
        const std::intptr_t properties[] = {context_platform, reinterpret_cast<std::intptr_t>(of.platform), 0};
        Result code = 0;
        context = opencl().create_context(properties, 1, &of.handle, nullptr, nullptr, &code);
        queue = context ? opencl().create_queue(context, of.handle, 0, &code) : nullptr;
        if (!queue) {
            throw DeviceError(device.id + ": " + (context ? "clCreateCommandQueue" : "clCreateContext") + ": error " +
                              std::to_string(code));
        }
    }
    const halide_device_interface_t *interface() const override {
        return halide_opencl_device_interface();
    }
};

}  // namespace

DriverDevices find_opencl_devices() {
    const OpenCL &driver = opencl();
    if (!driver.library.problem().empty()) {
        return {{}, "no OpenCL loader: " + driver.library.problem()};
    }
    std::uint32_t count = 0;
    const Result code = driver.platforms(0, nullptr, &count);
    if (code == no_platforms || (code == 0 && count == 0)) {
        return {{}, "no OpenCL driver: the loader finds no platform"};
    }
    std::vector<void *> platforms(count);
    if (code != 0 || driver.platforms(count, platforms.data(), nullptr) != 0) {
        return {{}, "the OpenCL loader fails: clGetPlatformIDs: error " + std::to_string(code)};
    }
    DriverDevices found;
    for (void *platform : platforms) {
        if (driver.devices(platform, every_type, 0, nullptr, &count) != 0) {
            continue;  // has none
        }
        std::vector<void *> handles(count);
        if (driver.devices(platform, every_type, count, handles.data(), nullptr) == 0) {
            for (void *handle : handles) {
                found.devices.push_back(describe(platform, handle));
            }
        }
    }
    found.reason = found.devices.empty() ? "no OpenCL driver has a device" : "";
    return found;
}

/// Contexts live as long as the process, since Halide's runtime unloads their kernels at its very end.
std::shared_ptr<DeviceContext> open_opencl_device(const DriverDevice &device) {
    static std::mutex mutex;
    static auto &contexts = *new std::map<void *, std::shared_ptr<DeviceContext>>;
    const std::lock_guard lock(mutex);
    std::shared_ptr<DeviceContext> &context = contexts[device.handle];
    if (!context) {
        context = std::make_shared<OpenCLContext>(device);
    }
    return context;
}

}  // namespace aft

// Halide's runtime has these as weak symbols. Its own versions make one context per process, on a device that they
// choose.
extern "C" int halide_acquire_cl_context(void *user_context, void **context, void **queue, bool create) {
    const auto *call = static_cast<const aft::HalideCall *>(user_context);
    const aft::DeviceContext *device = call ? call->device : nullptr;
    *context = device ? device->context : nullptr;
    *queue = device ? device->queue : nullptr;
    return device || !create ? halide_error_code_success : halide_error_code_gpu_device_error;
}

extern "C" int halide_release_cl_context(void *) {
    return halide_error_code_success;
}
