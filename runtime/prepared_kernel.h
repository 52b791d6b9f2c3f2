#pragma once

#include "halide_runtime.h"
#include "kernel_table.h"

#include <aft/kernels.h>
#include <aft/tensor_view.h>
#include <aft/weights.h>

#include <cstdint>
#include <memory>

namespace aft {

/// A kernel with its prepared weights.
class PreparedKernel {
public:
    /// `weights` must fit `config`; they aren't kept. Throws KernelError, and ShapeError when a prepared buffer is
    /// beyond max_elements.
    PreparedKernel(const KernelRow &row, const KernelInfo &info, const LayerConfig &config, const Weights &weights);
    ~PreparedKernel();

    const KernelInfo &info() const {
        return info_;
    }

    /// y = layer(x) for tensors that the layer has checked. Thread-safe. Throws KernelError.
    void forward(const TensorView<const float, 3> &x, const TensorView<float, 3> &y, ScratchPool &scratch) const;

private:
    struct Arguments;

    const KernelRow &row_;
    const KernelInfo &info_;
    std::unique_ptr<Arguments> arguments_;
};

}  // namespace aft
