#pragma once

#include <aft/device.h>

#include <mutex>

struct halide_device_interface_t;

namespace aft {

/// A device in use. Its layers share it.
class DeviceContext {
public:
    explicit DeviceContext(const Device &device) : device(device) {}
    DeviceContext(const DeviceContext &) = delete;
    DeviceContext &operator=(const DeviceContext &) = delete;
    virtual ~DeviceContext() = default;

    virtual const halide_device_interface_t *interface() const = 0;
    /// Waits for the queued work. Throws DeviceError if some of it failed.
    virtual void synchronize() const {}
    /// Held during calls of the device. Some drivers take one caller at a time, and Halide's runtime would let the
    /// others spin.
    virtual std::unique_lock<std::mutex> turn() const {
        return std::unique_lock(mutex_);
    }
    /// Held during the first call of a kernel, which loads it.
    virtual std::unique_lock<std::mutex> loading(bool /*autoscheduled*/) const {
        return {};
    }
    /// Frees the memory that is kept for later calls.
    virtual void release_unused() const {}

    const Device &device;
    void *context = nullptr;  // the driver's
    void *queue = nullptr;

private:
    mutable std::mutex mutex_;
};

}  // namespace aft
