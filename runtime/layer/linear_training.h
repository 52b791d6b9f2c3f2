#pragma once

#include "devices/call_memory.h"
#include "kernels/prepared_selection.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace aft {

/// Projections by weights of the call, of any sizes, and the gradients of the weights.
class LinearTraining {
public:
    /// For kernels that are preferred or can run by their extents: `inputs` and `outputs` are the smallest.
    static std::vector<Demand> demands(std::int64_t inputs, std::int64_t outputs);

    /// The selections of demands().
    LinearTraining(const Selection &forward, const Selection &gradients, std::int64_t inputs, std::int64_t outputs);

    /// y = x W^T + b: x [B, rows, inputs], W [outputs, inputs] of any strides, b [outputs], without data 0.
    void forward(CallMemory &memory, const TensorView<const float, 3> &x, const TensorView<const float, 2> &weight,
                 const TensorView<const float, 1> &bias, const TensorView<float, 3> &y) const;
    /// dW = dy^T x and db, sums over all rows, without gaps. Rows of x with dy = 0 may hold anything.
    void gradients(CallMemory &memory, const TensorView<const float, 3> &x, const TensorView<const float, 3> &dy,
                   float *weight, float *bias) const;

    /// The batch that every kernel takes.
    std::int64_t least_batch() const {
        return std::max(forward_.least_batch(), gradients_.least_batch());
    }

private:
    const PreparedSelection forward_, gradients_;
};

}  // namespace aft
