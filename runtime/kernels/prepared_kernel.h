#pragma once

#include "halide/halide_runtime.h"
#include "kernels/kernel_table.h"

#include <aft/device.h>
#include <aft/kernels.h>
#include <aft/tensor_view.h>
#include <aft/weights.h>

#include <cstdint>
#include <memory>

namespace aft {

/// A kernel with its prepared weights, in the memory of the device that it runs on.
class PreparedKernel {
public:
    /// `weights` must fit `config`; they aren't kept. They serve sequences of up to `longest` rows. They are prepared
    /// on the CPU; `device`, null for the CPU, gets them once. Throws KernelError, DeviceError when the device can't
    /// hold them or can't load the kernel, and ShapeError when a prepared buffer is beyond max_elements.
    PreparedKernel(const KernelRow &row, const KernelInfo &info, const LayerConfig &config, std::int64_t longest,
                   const Weights &weights, const DeviceContext *device);
    ~PreparedKernel();

    const KernelInfo &info() const {
        return info_;
    }

    /// y = layer(x) for tensors that the layer has checked. Thread-safe. Throws KernelError and DeviceError.
    void forward(const TensorView<const float, 3> &x, const TensorView<float, 3> &y, ScratchPool &scratch) const;
    /// The same in the memory of the device, which is one of CUDA; queued on `stream`.
    void forward(const DeviceView<const float, 3> &x, const DeviceView<float, 3> &y, Stream stream) const;

private:
    struct Arguments;

    void query_bounds() const;
    void forward_on_device(const TensorView<const float, 3> &x, const TensorView<float, 3> &y,
                           ScratchPool::Call &scratch) const;

    const KernelRow &row_;
    const KernelInfo &info_;
    std::unique_ptr<Arguments> arguments_;
};

}  // namespace aft
