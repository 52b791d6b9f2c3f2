#pragma once

#include "devices/call_memory.h"
#include "kernels/prepared_selection.h"
#include "layer/checks.h"
#include "layer/exponentials.h"
#include "layer/sight.h"
#include "layer/state.h"

#include <aft/call.h>
#include <aft/config.h>
#include <aft/weights.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace aft {

/// The form of the kernels of a way. It has no gate, which is an argument.
LayerForm form_of(const LayerConfig &config, Way way);
/// The way of calls without a mask of pairs.
Way usual_way(const LayerForm &form);

/// The weighted mean of a form on one device.
class Mean {
public:
    /// The tensors of a call, where the kernels run.
    struct Call {
        CallShape shape;
        Tensor query;                                // [B, n, P]; without a gate, none
        Tensor key, value;                           // [B, rows_before(way) + m, P]; at least one row
        Tensor y;                                    // [B, n, P]
        const Exponentials *exponentials = nullptr;  // of the sources, where they are kept
        std::int64_t first_sample = 0;               // of the exponentials
    };
    /// The next positions of a state, in the host's memory.
    struct Step {
        TensorView<const std::int64_t, 1> lengths;  // without data: n
        TensorView<const float, 3> query;           // [B, n, P]; without a gate, none
        TensorView<const float, 3> key, value;      // [B, rows_before + n, P], which begin with recall()
        TensorView<float, 3> y;                     // [B, n, P]
        TensorView<float, 3> sums;                  // [B, 4, P], of the state after the step
        std::int64_t first_sample = 0;              // of the state

        std::int64_t length(std::int64_t sample) const {
            return lengths.data ? lengths.data[sample * lengths.strides[0]] : y.extents[1];
        }
    };

    /// The operation that a layer needs a kernel for: that of its calls, or of the `core` or `scan` that is named.
    static Demand demand(const LayerConfig &config, const KernelRow *named);

    /// Keeps the parameters of the bias. `selection` is the one of demand().
    Mean(const LayerConfig &config, const Weights &weights, const Selection &selection, const DeviceContext *device);

    /// The way of a call. Prepares its kernels before the first call that goes it; throws ConfigError without one.
    Way way_of(const Sight &sight) const;
    /// Prepares the kernels of steps.
    void prepare_steps() const;
    std::int64_t rows_before(Way way) const;
    Way way_of_steps() const;
    /// The batch that every kernel of a way takes, once they are prepared.
    std::int64_t least_batch(Way way) const {
        return made(way).least_batch();
    }

    void forward(CallMemory &memory, Way way, const Call &call, const Sight &sight) const;

    /// The exponentials of sources, [B, rows, P], for calls of a few targets; null where no kernel uses them.
    std::unique_ptr<const Exponentials> keep_exponentials(ScratchPool &scratch, const Tensor &key,
                                                          const Tensor &value) const;

    /// Copies the kept rows of a state, of the samples from `first` on, to the beginning of each sample.
    void recall(const StateValues &state, std::int64_t first, TensorView<float, 3> key,
                TensorView<float, 3> value) const;
    /// Computes y and the sums; the state is what it was for whoever looks at it.
    void step(CallMemory &memory, StateValues &state, const Step &step) const;
    /// Brings the state to the end of a step.
    void keep(StateValues &state, const Step &step) const;

    const KernelInfo &kernel_for(const Shape &shape) const;

private:
    const PreparedSelection &prepared(Way way) const;
    const PreparedSelection &made(Way way) const {
        return *selections_[static_cast<std::size_t>(way)];
    }
    std::unique_ptr<PreparedSelection> make(Way way, const Selection &selection) const;
    const ExponentialKernels *exponential_kernels() const;
    Tensor query_or_zeros(const Tensor &query, std::int64_t batch, std::int64_t targets) const;
    Tensor bias_of(CallMemory &memory, const CallShape &shape, const Sight &sight) const;
    Tensor band_of(CallMemory &memory, const CallShape &shape) const;
    void run_pairs(CallMemory &memory, const Call &call, const Tensor &bias, float scale, const Tensor &mask,
                   const Tensor &sources, std::int64_t offset) const;
    void run_scan(CallMemory &memory, const Call &call, const Tensor &mask, const Tensor &rows, const Tensor &positions,
                  const Tensor &sums, const Tensor &next_sums) const;
    void step_scan(CallMemory &memory, const StateValues &state, const Step &step) const;
    void step_pairs(CallMemory &memory, StateValues &state, const Step &step) const;
    const Exponentials *exponentials_of(CallMemory &memory, StateValues &state, const Call &call) const;

    const LayerConfig config_;
    const DriverDevice &device_;
    const std::string storage_;
    const DeviceContext *const context_;
    const Way usual_;
    std::vector<float> bias_, band_, decay_, bonus_;  // bias_: [S, S] or [heads, window]; band_: [S, window]
    const KeptTensor zeros_;                          // [P]
    std::optional<KeptTensor> bias_on_device_;
    mutable std::mutex mutex_;
    mutable std::array<std::unique_ptr<PreparedSelection>, ways> selections_;               // by way
    const bool is_named_;                                                                   // the kernel, by the caller
    mutable std::optional<std::unique_ptr<const ExponentialKernels>> exponential_kernels_;  // once looked for
};

/// The first `rows` rows of `count` samples, from sample `first` on.
template<typename T>
TensorView<T, 3> samples(const TensorView<T, 3> &view, std::int64_t first, std::int64_t count, std::int64_t rows) {
    return {view.data + first * view.strides[0], {count, rows, view.extents[2]}, view.strides};
}

/// [B, rows, P] on the host, from row `first` on.
inline Tensor rows_from(const Tensor &tensor, std::int64_t first) {
    return tensor.part(1, first, tensor.extents[1] - first);
}

/// Sets the rows to 0, or another value, that a sample doesn't have.
void clear_rows_beyond(TensorView<const std::int64_t, 1> lengths, TensorView<float, 3> y, float value = 0);

}  // namespace aft
