#pragma once

/// @file
/// FeatureBooster (Wang et al., arXiv 2211.15069), with real descriptors of length 1, as SIFT+Boost-F.

#include "blocks/blocks.h"

#include <string>
#include <vector>

namespace networks {

/// Linear maps, with max(v, 0) between them.
class Mlp {
public:
    /// The maps `name`.0, `name`.2, ... of a file, as a Sequential of PyTorch's Linear and ReLU has them.
    Mlp(const aft::SafetensorsFile &file, const std::string &name);

    /// y = residual + mlp(x). x: [batch, rows, inputs()], y, residual: [batch, rows, outputs()]. y may be residual.
    void add(View x, View residual, Result y) const;

    std::int64_t inputs() const {
        return maps_.front().inputs();
    }
    std::int64_t outputs() const {
        return maps_.back().outputs();
    }

private:
    std::vector<Linear> maps_;
};

/// Descriptors of an image that have seen where they are, and each other:
///
///     d = descriptor + descriptor_mlp(descriptor) + keypoint_mlp(keypoint)      d = norm(d)
///     d = norm(d + aft_simple(d))      d = norm(d + feed_forward_mlp(d))        for each layer
///     boosted = W d + b, with length 1
class FeatureBooster {
public:
    /// Takes the tensors of SIFT+Boost-F or of a network like it; descriptor and keypoint channels, the number of
    /// layers and the width of the MLPs are those in the file. Throws aft::WeightsError.
    explicit FeatureBooster(const aft::SafetensorsFile &file);

    /// descriptors: [images, n, descriptor_channels()]; keypoints: [images, n, keypoint_channels()], position, size and
    /// angle as normalised by match.py; boosted: [images, n, outputs()]. Thread-safe. Throws aft::ShapeError.
    void forward(View descriptors, View keypoints, Result boosted) const;

    std::int64_t descriptor_channels() const {
        return descriptor_mlp_.inputs();
    }
    std::int64_t keypoint_channels() const {
        return keypoint_mlp_.inputs();
    }
    std::int64_t outputs() const {
        return projection_.outputs();
    }

private:
    struct Block {
        aft::Layer mix;
        LayerNorm after_mix;
        Mlp feed_forward;
        LayerNorm after_feed_forward;
    };

    Mlp descriptor_mlp_, keypoint_mlp_;
    LayerNorm norm_;
    std::vector<Block> blocks_;
    Linear projection_;
};

}  // namespace networks
