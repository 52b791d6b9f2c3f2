#pragma once

#include <aft/kernels.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace aft::tune {

/// The kernels that are chosen, by their index in the family: from one length up to the next one's.
struct Choice {
    std::int64_t from;
    std::size_t kernel;

    bool operator==(const Choice &other) const {
        return from == other.from && kernel == other.kernel;
    }
};

/// The cost of one length with each kernel: the logarithm of its time over that of the table's kernel.
struct Cost {
    std::int64_t seq;
    std::vector<double> of_kernel;
};

/// The index of the kernel that the table takes for a length: the first one that is for it, as the selector takes it.
std::size_t kernel_of_table(const std::vector<PreferredExtents::Range> &of_table, std::int64_t seq);

std::vector<Choice> choices_of_table(const std::vector<PreferredExtents::Range> &of_table);

/// The choices of least cost. A threshold between two measured lengths is the table's, or where it has none, in the
/// middle. Where nothing was measured, and where kernels cost the same, the table's choice stays. The costs are of
/// ascending lengths.
std::vector<Choice> best_choices(const std::vector<PreferredExtents::Range> &of_table, const std::vector<Cost> &costs);

}  // namespace aft::tune
