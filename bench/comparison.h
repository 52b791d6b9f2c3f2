#pragma once

#include "machine.h"
#include "peaks.h"
#include "probes.h"

#include "reference/benchmark_problems.h"

#include <aft/device.h>
#include <aft/kernels.h>

#include <functional>
#include <string>
#include <vector>

namespace aft::bench {

/// A device and what its kernels are compared on.
struct DeviceProblems {
    Device device;
    std::vector<BenchmarkProblem> problems;
};

struct ComparisonOptions {
    std::vector<DeviceProblems> devices;
    std::vector<std::string> schedules;  ///< or `exact`, for kernels of that algorithm; empty: all
    double min_seconds = 1;              ///< of measuring, per kernel and problem
    bool blas = false;                   ///< on the CPU, its matrix libraries too; cuBLAS takes part anyhow

    /// Shows one line. A line that isn't `lasting` is replaced by the next one.
    std::function<void(const std::string &line, bool lasting)> progress;
};

/// The id of the row of a layer that is no kernel, but runs on those that the library chooses for its parts.
inline constexpr const char *composed_layer = "layer", *composed_layer_bfloat16 = "layer_bf16",
                            *composed_layer_int8 = "layer_int8";
inline bool is_composed_layer(const std::string &id) {
    return id == composed_layer || id == composed_layer_bfloat16 || id == composed_layer_int8;
}

/// One kernel on one problem; or a layer that is composed of several, or a matrix library, whose rows have the id of no
/// kernel of the build.
struct Measurement {
    KernelInfo kernel;
    BenchmarkProblem problem;
    std::string device;           ///< id of devices()
    double work = not_measured;   ///< work floor; of a library, what its products take
    double bytes = not_measured;  ///< of a step: the weights of the projections and the state
    bool is_library = false;
    std::string timed = "call";  ///< as DeviceResult::timed; "call" too where x and y can't lie on the device
    double median_ms = not_measured, best_ms = not_measured;  ///< of one call, over the rounds
    double gflops = not_measured;                             ///< work / median time
    std::string isa = {};                       ///< isa_of() its target; empty unless it's a kernel on the CPU
    PeakShares of_peak = {};                    ///< of the device's multiply-add peak, and of that of `isa`
    double speedup_over_naive = not_measured;   ///< of the medians, on this device
    double speedup_over_cublas = not_measured;  ///< of the medians; the layer against its matrix products alone
    double percent_of_blas = not_measured;      ///< gflops over the best library's, on the CPU
    double floor_ms = not_measured;             ///< `bytes` at the copy bandwidth in the rounds of this problem
    double times_bidirectional = not_measured;  ///< of the medians: over the same core of all sources, not of the past
    double deviation_percent = not_measured;    ///< of the rounds: 1.4826 median absolute deviations / median
    double max_error = not_measured;            ///< largest error / largest output
    int rounds = 0;
    std::string failure = {};  ///< why the kernel is wrong or failed, and wasn't timed; empty: right
};

/// A kernel that can't do a problem, when no other kernel of its entry can.
struct Skip {
    std::string kernel, entry;
    BenchmarkProblem problem;
    std::string reason;
};

/// A device that took part.
struct DeviceResult {
    Device device;
    std::string description;  ///< of CUDA: driver and clock
    /// The parts of a call that its time covers. "call": the call on host memory; on a device that isn't the CPU, x and
    /// y are copied in it. "device": x and y lie on the device, and many calls are queued before one waits.
    std::string timed;
    Ceiling fma_peak_gflops, fma_peak_gflops_one_thread, copy_gbytes_per_second;
    std::string blas;  ///< versions of the matrix libraries, or why they weren't measured; empty where none was wanted
};

struct Comparison {
    Machine machine;
    int threads = 0;
    std::vector<DeviceResult> devices;
    std::vector<Measurement> measurements;  ///< device by device, then problem by problem, then as in the registry
    std::vector<Skip> skipped;
    std::string command;  ///< how to repeat it
};

/// Checks every kernel of each device and each problem's layer against the double reference, then measures those that
/// are right in turn, together with the ceilings of the device.
Comparison compare(const ComparisonOptions &options);

/// The schedule, or `exact` for kernels of that algorithm, with the variant and the instruction set where the id has
/// them: "packed", "mullapudi2016_t1024@avx2".
std::string schedule_name(const KernelInfo &kernel);

/// The entry of the comparison that a kernel belongs to. An autoscheduler's variants, made for different extents, are
/// one entry, its own, for each instruction set, and so are the tuned kernels, which take part where they are
/// preferred; any other kernel is an entry of its own, "packed" or, with its variant, "packed_deep".
std::string entry_name(const KernelInfo &kernel);

/// "B4 T1024 H512 P512", with " s32" where the layer has a window; without H of a mean alone; with " m100" where the
/// sources aren't the targets, and then what variant_name() tells.
std::string shape_name(const BenchmarkProblem &problem);

/// "lengths", "mask of pairs", "step of 1", ...; empty of a plain call.
std::string variant_name(const BenchmarkProblem &problem);

/// "full", "core causal_full", "linear": the layer, the part of it, or the part alone that is the same in every layer.
std::string subject_name(const BenchmarkProblem &problem);

}  // namespace aft::bench
