#pragma once

#include "devices/call_memory.h"
#include "kernels/kernel_parameters.h"
#include "kernels/kernel_table.h"
#include "kernels/shared_buffers.h"

#include <aft/kernels.h>

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <vector>

namespace aft {

/// A kernel with its parameters, in the memory of the device that it runs on. It binds the operands of a call by their
/// names and knows no operation.
class PreparedKernel {
public:
    // A call keeps its arguments on the stack, since it must not allocate.
    static constexpr std::size_t max_arguments = 32, max_operands = 16;

    /// Prepares the parameters on the CPU. `device`, null for the CPU, gets them once. `largest` has the operands of
    /// every call, with the largest extents of any call; their data isn't read. On the CPU, the kernel takes from
    /// `shared` what kernels of the same parameters have in its layout, and adds what it makes; null: it shares
    /// nothing. Throws KernelError, DeviceError when the device can't hold the parameters or can't load the kernel, and
    /// ShapeError when an operand or a prepared buffer has more than max_elements elements.
    PreparedKernel(const KernelRow &row, const KernelInfo &info, const KernelParameters &parameters,
                   const std::vector<Operand> &largest, const DeviceContext *device, SharedBuffers *shared = nullptr);
    ~PreparedKernel();

    /// Runs the kernel on operands where it runs, which the layer has checked. On a device, this queues it.
    /// Thread-safe. Throws TooLarge where the kernel can't take so many samples, KernelError and DeviceError.
    void call(std::initializer_list<Operand> operands, CallMemory &memory) const {
        call(operands.begin(), operands.end(), memory);
    }
    void call(const Operand *operands, const Operand *end, CallMemory &memory) const;

private:
    struct Arguments;

    void query_bounds() const;

    const KernelRow &row_;
    const KernelInfo &info_;
    std::unique_ptr<Arguments> arguments_;
};

}  // namespace aft
