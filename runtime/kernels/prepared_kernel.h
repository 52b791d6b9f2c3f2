#pragma once

#include "halide/halide_runtime.h"
#include "halide/operand.h"
#include "kernels/kernel_table.h"

#include <aft/kernels.h>
#include <aft/weights.h>

#include <cstddef>
#include <initializer_list>
#include <memory>

namespace aft {

/// A kernel with its prepared weights, in the memory of the device that it runs on. It binds the operands of a call by
/// their names and knows no operation.
class PreparedKernel {
public:
    // A call keeps its arguments on the stack, since it must not allocate.
    static constexpr std::size_t max_arguments = 32, max_operands = 8;

    /// Prepares `weights`, which must fit `config`, on the CPU. They aren't kept. `device`, null for the CPU, gets the
    /// prepared weights once. `largest` has the operands of every call, with the largest extents of any call; their
    /// data isn't read. Throws KernelError, DeviceError when the device can't hold the weights or can't load the
    /// kernel, and ShapeError when a prepared buffer has more than max_elements elements.
    PreparedKernel(const KernelRow &row, const KernelInfo &info, const LayerConfig &config,
                   std::initializer_list<Operand> largest, const Weights &weights, const DeviceContext *device);
    ~PreparedKernel();

    /// Runs the kernel on operands in the host's memory, which the layer has checked. Thread-safe. Throws KernelError
    /// and DeviceError.
    void call(std::initializer_list<Operand> operands, ScratchPool &scratch) const;
    /// The same for operands in the memory of the kernel's CUDA device. Queues the work on `stream` and returns.
    void enqueue(std::initializer_list<Operand> operands, Stream stream) const;

private:
    struct Arguments;

    void query_bounds() const;
    template<typename BufferOf>
    void run(std::initializer_list<Operand> operands, HalideCall &call, BufferOf buffer_of) const;

    const KernelRow &row_;
    const KernelInfo &info_;
    std::unique_ptr<Arguments> arguments_;
};

}  // namespace aft
