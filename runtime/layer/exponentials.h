#pragma once

#include "devices/call_memory.h"
#include "kernels/prepared_selection.h"

#include <aft/config.h>

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace aft {

/// The exponentials of sources that are kept, relative to the largest key of each chunk of rows: the operands of
/// kernels of `kept`. In the host's memory.
struct Exponentials {
    static constexpr std::int64_t lanes = 16, chunk_rows = 256;  // generators/algorithms/{core,exp_sources}.h

    /// Whether kernels can take so many.
    static bool fit(std::int64_t batch, std::int64_t rows, std::int64_t projected);

    Exponentials(std::int64_t batch, std::int64_t rows, std::int64_t projected);
    Exponentials(const Exponentials &other);

    /// Copies one sample of others with the same extents.
    void copy(std::int64_t sample, const Exponentials &from, std::int64_t from_sample);
    /// Those of some samples, as `kept` reads them.
    std::array<Operand, 3> operands(std::int64_t first_sample, std::int64_t samples) const;

    KeptTensor key, value;           // [B, P / lanes, rows, lanes]
    KeptTensor key_maximum;          // [B, rows / chunk_rows, P]
    std::vector<std::int64_t> made;  // [B]: the rows that have them
};

/// The kernels that make them, `sources`, and that use them, `kept`.
class ExponentialKernels {
public:
    /// The most targets of a call for which reading exponentials is faster than making them.
    static constexpr std::int64_t most_targets = 16;

    /// Null where the device has no such kernels. `operands`: of a call of `core`.
    static std::unique_ptr<const ExponentialKernels> find(const DriverDevice &device, const LayerConfig &config,
                                                          const KernelParameters &parameters,
                                                          const PreparedSelection::LargestCall &operands);

    /// Makes those of [samples, rows, P], from `first_row` on, which begins a chunk. A chunk is always made whole: its
    /// exponentials are relative to its largest key so far.
    void make(CallMemory &memory, const Tensor &key, const Tensor &value, Exponentials &result,
              std::int64_t first_sample, std::int64_t first_row) const;
    const PreparedKernel &kernel_for(const Shape &shape) const {
        return kept_.kernel_for(shape);
    }

private:
    ExponentialKernels(const Selection &sources, const Selection &kept, const LayerConfig &config,
                       const KernelParameters &parameters, const PreparedSelection::LargestCall &operands);

    const PreparedSelection sources_, kept_;
};

/// A demand for a mean without projections, whose kernels serve a form. It has the projected channels only, and no
/// limit of positions.
Demand demand_of_mean(const char *operation, const LayerConfig &config, const LayerForm &form);

}  // namespace aft
