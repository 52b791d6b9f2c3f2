#pragma once

#include "layer/mean.h"

#include <aft/layer.h>

#include <memory>
#include <optional>
#include <vector>

namespace aft {

/// A projection: y = x W^T + b.
class Linear {
public:
    static Demand demand(std::int64_t inputs, std::int64_t outputs);
    /// An empty bias is 0.
    Linear(const Selection &selection, const std::vector<float> &weight, const std::vector<float> &bias,
           std::int64_t inputs, std::int64_t outputs, const DeviceContext *device);

    /// x: [B, rows, inputs], y: [B, rows, outputs], where the kernels run.
    void run(CallMemory &memory, Tensor x, Tensor y) const;
    std::int64_t least_batch() const {
        return kernels_.least_batch();
    }

private:
    const PreparedSelection kernels_;
};

/// The keys and values of sources, after the projection.
struct KeptSources {
    const void *layer;
    std::int64_t batch, count, before;
    KeptTensor key, value;                                       // [B, before + m, P], one row at least
    std::unique_ptr<const Exponentials> exponentials = nullptr;  // where kernels use them
};

/// A layer that is composed of projections and the weighted mean.
class Composed {
public:
    /// A call whose tensors have been checked. The views are on the host, or in memory of the device if the call is
    /// queued.
    struct Call {
        CallShape shape;
        TensorView<const float, 3> query, key, value;
        const KeptSources *sources;     // null: key and value
        std::int64_t first_sample = 0;  // of the sources

        /// On a device, sources that are kept have no parts.
        Call part(std::int64_t first, std::int64_t count) const;
    };

    /// The operations that it needs kernels for, first the mean. `named` is a kernel that the caller names, or null.
    static std::vector<Demand> demands(const LayerConfig &config, const Weights &weights, const KernelRow *named);

    /// `plan` has the selections of demands().
    Composed(const LayerConfig &config, const Weights &weights, const Plan &plan, const DeviceContext *device);

    const Mean &mean() const {
        return mean_;
    }
    /// The batch that every kernel of a call takes, or of a step.
    std::int64_t least_batch(Way way) const;
    std::int64_t least_batch_of_steps() const;

    void forward(CallMemory &memory, Way way, const Call &call, const Sight &sight, TensorView<float, 3> y) const;
    /// Steps only some samples of the state: sample i of the call is sample `first` + i of the state.
    void step(CallMemory &memory, StateValues &state, std::int64_t first, TensorView<const float, 3> x,
              TensorView<float, 3> y, TensorView<const std::int64_t, 1> lengths) const;
    std::unique_ptr<const KeptSources> keep(ScratchPool &scratch, const void *layer, TensorView<const float, 3> key,
                                            TensorView<const float, 3> value) const;

private:
    void project_sources(CallMemory &memory, const Linear &linear, TensorView<const float, 3> x, std::int64_t before,
                         const Tensor &into) const;

    const LayerConfig config_;
    const DeviceContext *const context_;
    const Mean mean_;
    std::optional<Linear> key_, value_, query_, output_;
};

}  // namespace aft
