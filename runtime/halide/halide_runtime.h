#pragma once

#include "halide/device_context.h"
#include "halide/kernel_host.h"
#include "threads/scratch.h"

#include <array>
#include <cstdint>
#include <mutex>
#include <string>

namespace aft {

/// A call of generated code or of Halide's runtime. The user context points to it, and is null in other calls.
struct HalideCall {
    /// On the CPU. Scratch memory comes from the pool, or without one from the heap.
    explicit HalideCall(ScratchPool::Call *scratch = nullptr);
    /// On a device. All host memory comes from the heap, since Halide's runtime keeps some of it beyond the call.
    explicit HalideCall(const DeviceContext *device, Stream stream = nullptr);

    /// Throws DeviceError, TooLarge or KernelError unless `code` is success. The message has `who` and the first error
    /// that any thread reported.
    void check(const char *who, int code) const;

    const KernelHost *const host;  // first: kernels of shared objects find it there
    ScratchPool::Call *const scratch = nullptr;
    const DeviceContext *const device = nullptr;  // null: the CPU
    const Stream stream = nullptr;                // CUDA
    std::mutex mutex;
    std::array<char, 512> first_error{};  // no std::string: memory may have run out
};

/// A generated function in Halide's argv form: every argument a pointer to a buffer or to a scalar.
using KernelFunction = int (*)(void **);

/// Calls `function` in the default floating-point environment. Fills in argument number `context_argument`, which is
/// __user_context. Throws as HalideCall::check().
void call_kernel(const char *id, KernelFunction function, void **arguments, int context_argument, HalideCall &call);

}  // namespace aft
