#pragma once

/// @file
/// The inputs of a call, besides the weights.

#include <aft/config.h>
#include <aft/tensor_view.h>

#include <cstdint>

namespace aft {

class Sources;

/// The position bias and the sources that the targets of a call see. A member without data adds nothing and hides
/// nothing. Sources that are hidden may hold anything, NaN included: they touch no result. A target without a visible
/// source has A = 0.
struct Sight {
    /// w: [B, n, m], of forms with PositionBias::given only. The stride of the samples or of the targets may be 0, so
    /// that all share one. An infinite value hides a pair: -inf, or a distance of +inf. None may be NaN.
    TensorView<const float, 3> position_bias = {};
    /// Factor of position_bias: with distances as position_bias, -alpha makes w = -alpha distance. Finite.
    float bias_scale = 1;
    /// [B] of 0..m: sample b has the sources j < lengths[b]. A layer whose query is its only input has as many targets:
    /// y is 0 in the rows from lengths[b] on. So it is with a causal Core that has as many targets as sources.
    TensorView<const std::int64_t, 1> lengths = {};
    /// [B, n, m]: true where the target sees the source. The strides of the samples and of the targets may be 0: a mask
    /// of sources has one row per sample, a mask of pairs is the same in every sample.
    TensorView<const bool, 3> mask = {};
};

/// The inputs of a layer: n targets, m sources.
struct LayerCall {
    TensorView<const float, 3> query = {};  ///< [B, n, hidden]
    TensorView<const float, 3> key = {};    ///< [B, m, key_hidden]; without data, the query input
    TensorView<const float, 3> value = {};  ///< [B, m, value_hidden]; without data, the key input
    const Sources *sources = nullptr;       ///< sources that were kept, instead of key and value
    Sight sight = {};                       ///< position bias, lengths, mask
};

/// The inputs of the weighted mean alone, without projections: n targets, m sources, P channels.
struct CoreCall {
    TensorView<const float, 3> query = {};  ///< [B, n, P]; without data if the gate is none
    TensorView<const float, 3> key = {};    ///< [B, m, P]; -inf hides a source from a channel
    TensorView<const float, 3> value = {};  ///< [B, m, P]
    Sight sight = {};                       ///< position bias, lengths, mask
};

}  // namespace aft
