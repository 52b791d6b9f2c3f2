#pragma once

/// @file
/// The kernels of this build, and those that a program loads.

#include <aft/config.h>
#include <aft/export.h>
#include <aft/standard_library.h>

#include <cstdint>
#include <limits>
#include <optional>
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

/// The extents that a kernel is made for. The batch isn't among them: a sample has the same bits alone and in a batch.
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

/// One kernel of this process: an operation of one layer, by one algorithm, scheduled one way for one target.
struct KernelInfo {
    /// e.g. aft_full_cpu_packed; `aft_full_cpu_packed@avx2` where the build has several targets. Ids of loaded kernels
    /// begin with wisdom_ and end in the first digits of the SHA-256 of their code.
    std::string id;
    /// The operation that it computes. `forward`: y = layer(x) of a whole layer. `linear`: a projection.
    /// `linear_training`: one by a weight that changes from call to call. `linear_gradients`: those of the weight and
    /// the bias of a projection. `core`: the weighted mean of all sources of a call. `sources`: the exponentials of
    /// sources that are kept. `kept`: the weighted mean of kept sources. `core_training`: `core`, with what its
    /// gradients need. `core_gradients`: those of query, key and value. `bias_gradients`: that of the position bias.
    /// `scan`: the running mean of a causal form, with its state. A layer whose form has no forward kernel runs on the
    /// others.
    std::string operation;
    std::optional<LayerForm> layer;  ///< the form that it computes; none: it serves every form (linear)
    /// How it computes the mean of the values. `dense` (AFTFull) sums over all sources, `banded` (AFTLocal) over the
    /// window and adds sums of whole blocks, `softmax` (AFTSimple) takes one mean for all targets, and `exact` (AFTFull
    /// and AFTLocal) sums relative to the largest exponent of each target and channel.
    std::string algorithm;
    std::string schedule;  ///< packed, naive, tiled, adams2019, ...
    /// float32 or bfloat16: the type in which weights, exponentials of the bias and sources are kept. Where `target`
    /// has an instruction that multiplies bfloat16, so are the input and the gated values. Sums are in float32. Or
    /// int8: weights are kept in it, and multiply the input and the gated values in int16; all else is in float32. A
    /// kernel that keeps bfloat16 or int8 runs only if LayerOptions names it or its storage.
    std::string storage;
    std::string api;              ///< the API of its devices: cpu, cuda, opencl or vulkan
    std::string target;           ///< the Halide target that it was compiled for
    bool any_bias_range = false;  ///< takes every position bias; other kernels need rows of range <= max_bias_range
    MinimumExtents minimum;       ///< above 1 for autoscheduled kernels: the estimates that they were scheduled for
    PreferredExtents preferred;   ///< beyond them, it runs only if the caller names it; see load_kernels() for seq
    bool usable = false;          ///< this process can run it: this machine has a device for it
    std::string reason;           ///< why not; empty when it is usable
};

/// The largest range of a row of position bias that the fast kernels take: maximum - minimum over the row, with 0
/// included for AFTLocal. With 60 ln 2, the denominator of every mean stays at or above 2^-60, so that no term that
/// matters is flushed to zero. Layers with a larger range use a kernel with any_bias_range, or are composed of other
/// operations.
inline constexpr float max_bias_range = 41.0f;

/// Every loaded kernel and every kernel of this build, in order of preference within a layer and a device. Looks for
/// devices, as devices() does. The list stays as it is; after load_kernels(), this returns another one. Thread-safe.
/// Throws ConfigError if load_kernels() would throw it for the file that the environment's AFT_WISDOM names.
AFT_API const std::vector<KernelInfo> &kernels();

/// Loads the kernels that `aft tune` found, from its file of wisdom and the shared objects beside it. Layers that are
/// made later prefer them around the shapes that they were tuned for: same H, P and s, and T / 2 to 2 T rows. They also
/// follow the lengths that the file has for kernels of the library: KernelInfo::preferred.seq of such a kernel then
/// holds all of its lengths, with some of other kernels between them, and is empty (to < from) if it has none. Kernels
/// for another CPU or another version of the library aren't loaded; kernels() has them with the reason. Lengths for
/// those aren't used. The file that the environment's AFT_WISDOM names is loaded when the first layer is made, in the
/// same way.
///
/// The shared objects are programs: load only files that you made or trust. Throws ConfigError, and loads nothing, if
/// the file isn't wisdom, a shared object is missing or its SHA-256 differs, or somebody but this user and root may
/// write one of the files or their folder. Loaded code stays until the process ends. Thread-safe.
AFT_API void load_kernels(const std::string &path);

}  // namespace aft
