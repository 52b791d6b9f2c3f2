#pragma once

/// @file
/// What a layer computes, and how it is run.

#include <aft/export.h>
#include <aft/standard_library.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace aft {

/// The three layers of "An Attention Free Transformer" (Zhai et al., arXiv 2105.14103).
enum class LayerKind {
    full,    ///< AFTFull: a position bias between any two positions
    simple,  ///< AFTSimple: no position bias
    local,   ///< AFTLocal: a position bias within a window, 0 outside
};

/// "full", "simple" or "local".
AFT_API std::string_view name(LayerKind kind);

/// The inverse of name(). Throws ConfigError.
AFT_API LayerKind layer_kind(std::string_view name);

/// What a layer computes, apart from its weights.
struct LayerConfig {
    /// Which of the three layers.
    LayerKind kind = LayerKind::full;
    std::int64_t hidden = 0;       ///< H, channels of input and output, >= 1
    std::int64_t projected = 0;    ///< P, channels of query, key and value, >= 1
    std::int64_t max_seq_len = 0;  ///< S, the longest sequence, >= 1; full and local: the size of the position bias
    std::int64_t window = 0;       ///< s, local only: the bias holds where |t - t'| < s and is 0 elsewhere; >= 0
};

/// The part of the shape that may change from call to call.
struct Shape {
    std::int64_t batch = 1;  ///< >= 0
    std::int64_t seq = 1;    ///< 0..max_seq_len
};

/// How a layer is run.
struct LayerOptions {
    /// The id of the kernel that must run. Empty: that of the environment's AFT_KERNEL, and without one the choice of
    /// the registry.
    std::string kernel = {};
    /// The device that the layer lives on: an id of devices(), or an API for its first usable device. Empty: that of
    /// the environment's AFT_DEVICE; without one, the first usable device of the forced kernel's API, and without one
    /// the first GPU of devices() that is usable, has a kernel for the layer and memory for its weights, or the CPU.
    /// A device or a kernel that is named loads the drivers of its own API only: "cpu" loads none.
    std::string device = {};
};

}  // namespace aft
