#pragma once

#include "system/system.h"

#include <aft/device.h>
#include <aft/error.h>

#include <cstdint>
#include <mutex>

struct halide_buffer_t;
struct halide_device_interface_t;

namespace aft {

/// Throws DeviceError unless `process` is this one. A driver's threads don't survive fork(), and a call of it would
/// wait for them: a child leaves all that its parent has on the device to the parent.
inline void check_process(const Device &device, std::int64_t process) {
    if (process != process_id()) {
        throw DeviceError(device.id + ": a child of fork() can't use the devices of its parent");
    }
}

/// A device in use. Its layers share it.
class DeviceContext {
public:
    explicit DeviceContext(const Device &device) : device(device) {}
    DeviceContext(const DeviceContext &) = delete;
    DeviceContext &operator=(const DeviceContext &) = delete;
    virtual ~DeviceContext() = default;

    virtual const halide_device_interface_t *interface() const = 0;
    /// Waits for the queued work. Throws DeviceError if some of it failed, and as check_process().
    virtual void synchronize() const {}
    /// Whether this isn't a child of the process that uses the device.
    bool is_of_this_process() const {
        return process_ == process_id();
    }
    /// Held during calls of the device. Throws as check_process().
    std::unique_lock<std::mutex> turn() const {
        check_process(device, process_);
        return lock();
    }
    /// Frees the memory of `buffer` on the device. A child of fork() leaves it to its parent.
    void free(halide_buffer_t &buffer) const noexcept;
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
    /// Some drivers take one caller at a time, and Halide's runtime would let the others spin.
    virtual bool takes_any_caller() const {
        return false;
    }
    std::unique_lock<std::mutex> lock() const {
        return takes_any_caller() ? std::unique_lock<std::mutex>() : std::unique_lock(mutex_);
    }

    const std::int64_t process_ = process_id();
    mutable std::mutex mutex_;
};

}  // namespace aft
