#pragma once

#include "devices/call_memory.h"
#include "kernels/prepared_selection.h"
#include "layer/checks.h"
#include "layer/parts.h"
#include "layer/sight.h"

#include <aft/training.h>

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace aft {

/// The weighted mean in training, whose tensors have been checked. It holds no parameters.
class MeanTraining {
public:
    /// The kernels that it chooses, and the parts of a plan. `named` is a kernel that the caller names, or null.
    static std::vector<Demand> demands(const LayerConfig &config, const KernelRow *named);

    /// `plan` has the selections of demands(), and maybe more behind them.
    MeanTraining(const LayerConfig &config, const KernelRow *named, const std::vector<Selection> &plan);

    ~MeanTraining();
    MeanTraining(MeanTraining &&) noexcept;
    MeanTraining &operator=(MeanTraining &&) noexcept;

    /// Floats that forward() saves.
    std::int64_t saved_size(const Shape &shape, const Sight &sight) const;
    void forward(CallMemory &memory, const CoreParameters &parameters, const CoreCall &call, const CallShape &shape,
                 const TensorView<float, 3> &y, const TensorView<float, 1> &saved) const;
    /// The mean without the gate, and the logarithm of the sum of its weights. The query isn't read.
    void partial(CallMemory &memory, const CoreParameters &parameters, const CoreCall &call, const CallShape &shape,
                 const TensorView<float, 3> &mean, const TensorView<float, 3> &log_weight) const;
    /// with_result: [B], how many targets of a sample have a result; without data, all have one. adds: gradients that
    /// are summed over the samples are added to what is there.
    void backward(CallMemory &memory, const CoreParameters &parameters, const CoreCall &call, const CallShape &shape,
                  const TensorView<const float, 3> &dy, const TensorView<const std::int64_t, 1> &with_result,
                  const TensorView<const float, 1> &saved, const CoreGradients &gradients, bool adds) const;

    /// The batch that every kernel of a call takes.
    std::int64_t least_batch(const Sight &sight, std::int64_t targets) const;
    /// The kernel of the gradients of calls without a mask of pairs.
    const KernelInfo &gradient_kernel() const;

    const LayerConfig &config() const {
        return config_;
    }

private:
    struct Kernels {
        PreparedSelection forward, backward;
        std::unique_ptr<const PreparedSelection> of_bias;  // where there is a bias that can have a gradient
    };
    /// The operands of a call; a call must not allocate.
    class Operands {
    public:
        void add(const char *name, const Tensor &tensor) {
            operands_[count_++] = {name, tensor};
        }
        const Operand *begin() const {
            return operands_.data();
        }
        const Operand *end() const {
            return begin() + count_;
        }

    private:
        std::array<Operand, PreparedKernel::max_operands> operands_;
        std::size_t count_ = 0;
    };

    Way way_of(const Sight &sight, std::int64_t targets) const;
    std::unique_ptr<const Kernels> make(const std::vector<Selection> &selected, Way way) const;
    const Kernels &kernels_for(Way way) const;
    Tensor bias_of(CallMemory &memory, const CoreParameters &parameters, const CallShape &shape,
                   const Sight &sight) const;
    Operands inputs(CallMemory &memory, const CoreParameters &parameters, const CoreCall &call, const CallShape &shape,
                    Way way) const;
    /// Where source j is at position j, target i is at this position + i.
    std::int64_t first_position(const CallShape &shape) const;
    void bias_gradient(const PreparedSelection &kernels, CallMemory &memory, const Operands &inputs,
                       const CallShape &shape, const CoreGradients &gradients, bool adds) const;

    // Pointers, so that the object can be moved.
    struct Made {
        std::mutex mutex;
        std::array<std::unique_ptr<const Kernels>, ways> kernels;  // by way
    };
    LayerConfig config_;
    const DriverDevice *device_;
    std::string storage_;
    Way usual_;
    bool chooses_;  // between bands and pairs: the caller names no kernel of bands
    std::unique_ptr<Made> made_;
};

/// The saved floats of some samples: each has as many.
template<typename T>
TensorView<T, 1> part_of_saved(const TensorView<T, 1> &saved, std::int64_t batch, std::int64_t first,
                               std::int64_t count) {
    const std::int64_t of_sample = saved.extents[0] / batch;
    return {saved.data ? saved.data + first * of_sample : nullptr, {count * of_sample}};
}
/// The gradients of some samples. Those that are summed over the samples stay.
inline CoreGradients part_of(CoreGradients gradients, std::int64_t first, std::int64_t count) {
    gradients.query = part_of(gradients.query, first, count);
    gradients.key = part_of(gradients.key, first, count);
    gradients.value = part_of(gradients.value, first, count);
    gradients.given_bias = part_of(gradients.given_bias, first, count);
    return gradients;
}
/// A matrix as a tensor.
TensorView<float, 3> as_one_sample(const TensorView<float, 2> &matrix);
/// Sets all to 0.
void clear(const TensorView<float, 3> &tensor);

}  // namespace aft
