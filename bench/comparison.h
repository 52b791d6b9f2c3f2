#pragma once

#include "machine.h"

#include "tests/problem.h"

#include <aft/kernels.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace aft::bench {

struct ComparisonOptions {
    std::vector<Problem> problems;
    std::vector<std::string> schedules;  ///< empty: all
    double min_seconds = 1;              ///< of measuring, per kernel and problem

    /// Shows one line. A line that isn't `lasting` is replaced by the next one.
    std::function<void(const std::string &line, bool lasting)> progress;
};

/// What the machine reached when it did nothing else, sampled in turn with the kernels.
struct Ceiling {
    double median = 0, best = 0;
};

inline constexpr double not_measured = std::numeric_limits<double>::quiet_NaN();

/// One kernel on one problem.
struct Measurement {
    KernelInfo kernel;
    Problem problem;
    double median_ms = not_measured, best_ms = not_measured;  ///< of one call, over the rounds
    double gflops = not_measured;                             ///< work floor / median time
    double peak_gflops = not_measured;           ///< multiply-add peak: its median in the rounds of this problem
    double percent_of_peak = not_measured;       ///< median over the median of the peak
    double best_percent_of_peak = not_measured;  ///< best over best
    double speedup_over_naive = not_measured;    ///< of the medians
    double max_error = not_measured;             ///< largest error / largest output
    int rounds = 0;
    std::string failure = {};  ///< why the kernel is wrong or failed, and wasn't timed; empty: right
};

/// A kernel that can't do a problem, when no other kernel of its entry can.
struct Skip {
    std::string kernel, entry;
    Problem problem;
    std::string reason;
};

struct Comparison {
    Machine machine;
    int threads = 0;
    Ceiling fma_peak_gflops, fma_peak_gflops_one_thread, copy_gbytes_per_second;
    std::vector<Measurement> measurements;  ///< problem by problem, kernels in the order of the registry
    std::vector<Skip> skipped;
    std::string command;  ///< how to repeat it
};

/// Checks every kernel of each problem's layer against the double reference, then measures those that are right in
/// turn, together with the ceilings of the machine.
Comparison compare(const ComparisonOptions &options);

/// Floating-point operations that the layer can't do without: multiply-adds of projections and core counted as 2.
double work(const Problem &problem);

/// The schedule, with the variant where there is one: "packed", "mullapudi2016_t1024".
std::string schedule_name(const KernelInfo &kernel);

/// What a kernel is compared as. An autoscheduler's variants, made for different extents, are one entry, its own; any
/// other kernel is an entry of its own, "packed" or, with its variant, "packed_deep".
std::string entry_name(const KernelInfo &kernel);

/// "B4 T1024 H512 P512", with " s32" for a local layer.
std::string shape_name(const Problem &problem);

}  // namespace aft::bench
