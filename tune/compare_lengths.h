#pragma once

#include "lengths.h"

#include "kernels/kernels.h"
#include "reference/problem.h"

#include <aft/kernels.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace aft::tune {

/// Kernels of the library that compute the same by the same schedule, for different lengths, in the order of the table.
/// The last one takes all lengths.
struct Family {
    std::vector<const Kernel *> kernels;

    std::string subject() const;  ///< "forward full in float32"
    /// The lengths that the table gives each kernel, whatever wisdom is loaded.
    std::vector<PreferredExtents::Range> of_table() const;
};

/// Those of forward, linear, core and core_training whose kernels run here, for the best target of the build. `form`:
/// the layer whose kernels are wanted; none: all, also those that serve every form.
std::vector<Family> families(const std::optional<LayerForm> &form);

/// A problem on which the kernels of a family met.
struct LengthPoint {
    Problem problem;
    std::vector<double> ratios;  ///< of each kernel's time to that of the table's
    Cost cost;
};

struct LengthResult {
    Family family;
    std::vector<LengthPoint> points;
    std::vector<Choice> choices;
    int threads = 0;
    std::string date, halide;
};

struct LengthOptions {
    std::vector<Problem> problems;  ///< of any form: those of a family have its own
    std::function<void(const std::string &line)> progress;
    std::function<bool()> interrupted;
};

/// Measures the kernels of a family, in turn, on each problem; each one is checked before. With one thread, the time is
/// that of the processor. No choices if it was interrupted. Throws std::runtime_error when the table's kernel is wrong
/// or fails.
LengthResult compare_lengths(const Family &family, const LengthOptions &options);

}  // namespace aft::tune
