#pragma once

#include "devices/driver.h"
#include "threads/scratch.h"

#include <array>
#include <cstdint>
#include <mutex>
#include <string>

namespace aft {

/// A call of generated code or of Halide's runtime: what its user context points to. Null in calls that aren't ours.
struct HalideCall {
    /// On the CPU. Scratch memory comes from the pool, or from the heap when there is none.
    explicit HalideCall(ScratchPool::Call *scratch = nullptr);
    /// On a device. What Halide's runtime keeps for it beyond the call is on the heap, like all that it allocates.
    explicit HalideCall(const DeviceContext *device, Stream stream = nullptr);

    /// Unless `code` is success, throws DeviceError or KernelError with `who` and the first error that was reported,
    /// from whichever thread.
    void check(const char *who, int code) const;

    ScratchPool::Call *const scratch = nullptr;
    const DeviceContext *const device = nullptr;  // null: the CPU
    const Stream stream = nullptr;                // CUDA
    std::int64_t batch = 0;                       // of a forward, whose memory grows with it
    std::mutex mutex;
    std::array<char, 512> first_error{};  // memory may be what is missing: no std::string
};

/// A generated function in Halide's argv form: every argument a pointer to a buffer or to a scalar.
using KernelFunction = int (*)(void **);

/// Calls `function`, whose argument number `context_argument` is __user_context and is filled in here, in the default
/// floating-point environment. Throws as HalideCall::check().
void call_kernel(const char *id, KernelFunction function, void **arguments, int context_argument, HalideCall &call);

}  // namespace aft
