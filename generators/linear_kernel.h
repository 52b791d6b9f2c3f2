#pragma once

#include "kernel_generator.h"

namespace aft {

/// The base of the generators of projections.
template<typename Derived>
class LinearOperands : public KernelGenerator<Derived> {
public:
    template<typename T>
    using Param = Halide::GeneratorParam<T>;

    // Autoscheduled kernels are made for these extents, and take no smaller ones.
    Param<int> estimated_batch{"estimated_batch", 4};
    Param<int> estimated_seq{"estimated_seq", 1024};             // rows
    Param<int> estimated_hidden{"estimated_hidden", 512};        // inputs
    Param<int> estimated_projected{"estimated_projected", 512};  // outputs
};

}  // namespace aft
