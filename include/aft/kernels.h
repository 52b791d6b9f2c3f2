#pragma once

/// @file
/// The kernels of this build.

#include <aft/config.h>
#include <aft/export.h>
#include <aft/standard_library.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace aft {

/// The smallest extents that a kernel takes.
struct MinimumExtents {
    std::int64_t batch = 1;      ///< B
    std::int64_t seq = 1;        ///< T
    std::int64_t hidden = 1;     ///< H
    std::int64_t projected = 1;  ///< P
    std::int64_t window = 0;     ///< s, of AFTLocal
};

/// The extents that a kernel is for. Not the batch: a sample has the same bits alone and in a batch.
struct PreferredExtents {
    /// Both ends included.
    struct Range {
        std::int64_t from = 0;                                       ///< the least
        std::int64_t to = std::numeric_limits<std::int64_t>::max();  ///< the most
    };
    Range seq;        ///< T
    Range hidden;     ///< H
    Range projected;  ///< P
    Range window;     ///< s, of AFTLocal
};

/// One kernel of this build: one layer, scheduled one way for one target.
struct KernelInfo {
    std::string id;        ///< e.g. aft_full_cpu_packed; `aft_full_cpu_packed@avx2` where the build has several targets
    LayerForm layer;       ///< what it computes
    std::string device;    ///< cpu, cuda, opencl or vulkan: the api of its devices
    std::string schedule;  ///< packed, naive, exact, adams2019, ...
    std::string target;    ///< the Halide target it was compiled for
    /// float32, or bfloat16: what weights, exponentials of the bias and sources are kept in. Sums are in float32.
    /// Kernels that keep bfloat16 run only when they are asked for by name.
    std::string storage;
    bool any_bias_range;         ///< takes every position bias; the others need rows whose range is <= max_bias_range
    MinimumExtents minimum;      ///< above 1 for autoscheduled kernels: the estimates they were scheduled for
    PreferredExtents preferred;  ///< beyond them, only a kernel that is asked for by name runs
    bool usable;                 ///< this machine has a device that can run it
    std::string reason;          ///< why not, when it isn't usable
};

/// Largest range (maximum - minimum over a row, 0 included for AFTLocal) of a row of position bias that the fast
/// kernels take: with 60 ln 2 the denominator of every mean stays at or above 2^-60, so that no term that matters is
/// flushed to zero. Layers beyond it run on a kernel with any_bias_range.
inline constexpr float max_bias_range = 41.0f;

/// Every kernel of this build, in order of preference within a layer and a device. Looks for devices, as devices()
/// does. Thread-safe.
AFT_API const std::vector<KernelInfo> &kernels();

}  // namespace aft
