#pragma once

#include "kernel_builder.h"
#include "wisdom.h"

#include <filesystem>
#include <functional>
#include <string>

namespace aft::tune {

struct TuneOptions {
    Problem problem;
    double budget_seconds = 300;   ///< of searching; the last comparison comes on top
    std::filesystem::path folder;  ///< for candidates and results
    /// Shows one line, which the next one replaces.
    std::function<void(const std::string &line)> progress;
    /// Whether the user wants an end.
    std::function<bool()> interrupted;
};

/// Looks for a kernel that is faster than `packed` on a problem, on the threads that are set. Throws
/// std::runtime_error when it can't generate kernels, or `packed` isn't in this build.
SearchResult tune(const TuneOptions &options, const KernelBuilder &builder);

/// The row of `packed` that is for a problem: what candidates have to beat. Throws std::runtime_error when there is
/// none.
const KernelRow &packed_row(const Problem &problem);

/// The Halide target that a kernel was compiled for.
std::string target_of(const KernelRow &row);

}  // namespace aft::tune
