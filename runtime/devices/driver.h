#pragma once

#include <aft/device.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

struct halide_device_interface_t;

namespace aft {

/// A driver's library, found at run time, so that a build runs on machines without it. Never unloaded.
class DriverLibrary {
public:
    DriverLibrary(const char *name, int flags);

    /// Sets `function` to what the library calls `name`.
    template<typename Function>
    void find(const char *name, Function *&function) {
        function = reinterpret_cast<Function *>(symbol(name));
    }
    /// Why it can't be used; empty when it is there and everything was found in it.
    const std::string &problem() const {
        return problem_;
    }

private:
    void *symbol(const char *name);

    const char *name_;
    void *handle_;
    std::string problem_;
};

/// A device as its driver has it.
struct DriverDevice {
    Device info;             // its driver fills in api, name, memory and is_gpu
    std::string problem;     // why no kernel can run on it; empty when some may
    int version = 0;         // of what kernels are made for: 86 for CUDA's capability 8.6, 13 for Vulkan 1.3
    int number = 0;          // CUDA
    void *handle = nullptr;  // OpenCL
    void *platform = nullptr;
};

struct DriverDevices {
    std::vector<DriverDevice> devices;
    std::string reason;  // why there are none
};

/// A device in use. Its layers share it.
class DeviceContext {
public:
    explicit DeviceContext(const Device &device) : device(device) {}
    DeviceContext(const DeviceContext &) = delete;
    DeviceContext &operator=(const DeviceContext &) = delete;
    virtual ~DeviceContext() = default;

    virtual const halide_device_interface_t *interface() const = 0;
    /// Waits for what was queued. Throws DeviceError if some of it failed.
    virtual void synchronize() const {}
    /// Held by whoever calls the device: where a driver is no more than one caller's at a time, Halide's runtime would
    /// let the others spin.
    virtual std::unique_lock<std::mutex> turn() const {
        return std::unique_lock(mutex_);
    }
    /// Held while a kernel is called for the first time, which loads it.
    virtual std::unique_lock<std::mutex> loading(bool /*autoscheduled*/) const {
        return {};
    }
    /// Gives back the memory that was kept for calls to come.
    virtual void release_unused() const {}

    const Device &device;
    void *context = nullptr;  // of the driver's
    void *queue = nullptr;

private:
    mutable std::mutex mutex_;
};

/// Finding never fails and never prints; opening throws DeviceError.
DriverDevices find_cuda_devices();
DriverDevices find_opencl_devices();
DriverDevices find_vulkan_devices();
std::shared_ptr<DeviceContext> open_opencl_device(const DriverDevice &device);
std::shared_ptr<DeviceContext> open_vulkan_device(const DriverDevice &device);

}  // namespace aft
