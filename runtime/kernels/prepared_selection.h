#pragma once

#include "kernels/prepared_kernel.h"
#include "kernels/selector.h"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

namespace aft {

/// The kernels of a selection with their parameters.
class PreparedSelection {
public:
    /// The operands of every call of a candidate, with the largest extents that it serves.
    using LargestCall = std::function<std::vector<Operand>(const Candidate &)>;

    /// Throws as PreparedKernel's constructor.
    PreparedSelection(const Selection &selection, const KernelParameters &parameters, const LargestCall &largest,
                      const DeviceContext *device)
        : selection_(selection) {
        SharedBuffers shared;
        for (const Candidate &candidate : selection_.candidates) {
            kernels_.emplace_back(candidate.kernel->row, candidate.kernel->info, parameters, largest(candidate), device,
                                  device ? nullptr : &shared);
        }
    }

    /// The kernel that runs for a shape. Throws ShapeError when none does.
    const PreparedKernel &kernel_for(const Shape &shape) const {
        return kernels_[selection_.candidate_for(shape)];
    }
    /// Each kernel takes batches of so many samples.
    std::int64_t least_batch() const {
        std::int64_t least = 1;
        for (const Candidate &candidate : selection_.candidates) {
            least = std::max(least, candidate.kernel->info.minimum.batch);
        }
        return least;
    }
    /// The same kernel; for an empty shape, the one for the shapes that no other is for.
    const KernelInfo &info_for(const Shape &shape) const {
        const bool is_empty = shape.batch == 0 || shape.seq == 0;
        const std::size_t last = selection_.candidates.size() - 1;
        return selection_.candidates[is_empty ? last : selection_.candidate_for(shape)].kernel->info;
    }

private:
    const Selection selection_;
    std::deque<PreparedKernel> kernels_;
};

}  // namespace aft
