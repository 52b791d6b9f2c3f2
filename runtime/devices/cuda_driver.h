#pragma once

#include "devices/driver.h"

namespace aft {

/// A CUDA device in use. It has the primary context, as the CUDA runtime and PyTorch do.
class CudaContext : public DeviceContext {
public:
    /// The context of a device, which all of its layers share. Throws DeviceError.
    static std::shared_ptr<CudaContext> open(const DriverDevice &device);

    const halide_device_interface_t *interface() const override;
    void synchronize() const override;
    /// Sets the number of registers that a thread of the kernel may have.
    std::unique_lock<std::mutex> loading(bool autoscheduled) const override;
    void release_unused() const override;

    /// Throws DeviceError unless `memory` is this device's.
    void check_memory(const char *tensor, const void *memory) const;

    /// Queues on a stream that elements of 1 or 4 bytes become `value`. Throws DeviceError.
    void fill(std::uint64_t memory, std::int64_t elements, std::int64_t bytes, std::uint32_t value,
              Stream stream) const;

private:
    explicit CudaContext(const DriverDevice &device);

    bool takes_any_caller() const override {
        return true;
    }

    int number_;
};

}  // namespace aft
